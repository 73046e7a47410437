"""What is read of a photo before anything of it is decoded, and the errors that say what is wrong with it."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError

NOT_TURNED: Final = 1
"""EXIF's orientation of a photo that is stored upright."""

_ORIENTATION_TAG: Final = 0x0112
_SHORT: Final = 3
_MOST_TAGS: Final = 500
_XMP_ORIENTATION: Final = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")

LIGHT_WORK_MS: Final = 60.0
LIGHT_MEMORY_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class PhotoHeader:
    """A photo whose container was read and found whole.

    Attributes:
        format: Pillow's name of the format.
        width: Pixels of a stored row.
        height: Stored rows.
        data: What is decoded: the file, or the parts of it that its pixels come from.
        orientation: EXIF's, 1 to 8; NOT_TURNED where the decoder itself turns the photo upright.
        mode: Pillow's name of the mode that it is decoded to, where it is known.
        profile: ICC profile; empty where there is none, or none that is whole.
        key: Samples of the one colour that is transparent, 8 or 16 bits each; empty where there is none.
        interlaced: The rows are stored in several passes.
        frame: Left, top, right and bottom of what is drawn, where that is not all of the photo; the rest is clear.
        depth: Bits of a sample that are used, where a sample has 16.
        inverted: 0 is white in 16-bit samples; of other depths the decoder sees to it.
        work_ms: About how long decoding takes on one core.
        memory_bytes: About how much memory decoding takes.
        risky: The decoder is one that a broken file may harm, or its work cannot be told from the header.
    """

    format: str
    width: int
    height: int
    data: bytes
    orientation: int = NOT_TURNED
    mode: str = ""
    profile: bytes = b""
    key: tuple[int, ...] = ()
    interlaced: bool = False
    frame: tuple[int, int, int, int] | None = None
    depth: int = 16
    inverted: bool = False
    work_ms: float
    memory_bytes: int
    risky: bool = False

    @property
    def light(self) -> bool:
        """Whether the photo is decoded in a moment and in little memory."""
        return not self.risky and self.work_ms <= LIGHT_WORK_MS and self.memory_bytes <= LIGHT_MEMORY_BYTES


def damaged(name: str, why: object) -> InvalidRequestError:
    """Return the error of a photo whose pixels are not all there; `name` is that of the format."""
    return InvalidRequestError(f"image: the {name} data is damaged or cut short ({why}); send the whole file again")


def unread(what: str, instead: str) -> InvalidRequestError:
    """Return the error of a photo of a kind that is not read."""
    return InvalidRequestError(f"image: {what}, which is not read; {instead}")


def _with_article(name: str) -> str:
    return f"an {name}" if name.startswith("A") else f"a {name}"


def too_many_parts(name: str, parts: str, found: int, most: int) -> InvalidRequestError:
    """Return the error of a photo that is cut into more parts than any photo needs."""
    return InvalidRequestError(
        f"image: {_with_article(name)} of at least {found:,} {parts}, the limit is {most:,}; "
        "save it again with an image editor"
    )


def check_size(name: str, width: int, height: int) -> None:
    """Check what the header says of the size.

    Raises:
        InvalidRequestError: Too many pixels, too long, or too small.
    """
    most = limits.MAX_PIXELS_OF.get(name, limits.MAX_IMAGE_PIXELS)
    if width * height > most:
        of = f" of {_with_article(name)}" if name in limits.MAX_PIXELS_OF else ""
        raise InvalidRequestError(
            f"image: {width} x {height} is {width * height:,} pixels, the limit{of} is {most:,}; "
            "scale it down before sending"
        )
    if max(width, height) > limits.MAX_IMAGE_SIDE_PX:
        raise InvalidRequestError(
            f"image: {width} x {height} pixels, no side may be longer than {limits.MAX_IMAGE_SIDE_PX:,}; "
            "cut out the product"
        )
    if min(width, height) < limits.MIN_IMAGE_SIDE_PX:
        raise InvalidRequestError(
            f"image: {width} x {height} pixels, each side must be at least {limits.MIN_IMAGE_SIDE_PX}; "
            "send a photo of the product"
        )


def exif_orientation(exif: bytes) -> int | None:
    """Return the orientation of an EXIF block, 1 to 8; None where it has none or is damaged, which does not matter.

    Args:
        exif: A TIFF structure, with or without the `Exif` mark in front.
    """
    block = exif[6:] if exif.startswith(b"Exif\x00\x00") else exif
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for place in range(start + 2, start + 2 + 12 * min(count, _MOST_TAGS), 12):
            tag, kind, values, value = struct.unpack_from(order + "HHIH", block, place)
            if tag == _ORIENTATION_TAG:
                return int(value) if kind == _SHORT and values == 1 and 1 <= value <= 8 else None
    except struct.error:
        return None
    return None


def xmp_orientation(xmp: bytes) -> int | None:
    """Return the orientation that an XMP packet states; EXIF's goes before it."""
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found else None
