"""WebP: its chunks and its size."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

from PIL import Image

from product_match.contract import limits
from product_match.preprocessing.formats.header import (
    NOT_TURNED,
    PhotoHeader,
    check_size,
    damaged,
    exif_orientation,
    too_many_parts,
    xmp_orientation,
)

NAME: Final = "WEBP"
MAGIC: Final = b"RIFF"

_EXTENDED, _LOSSY, _LOSSLESS, _ALPHA, _FRAME = b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANMF"
_METADATA: Final = (b"ICCP", b"EXIF", b"XMP ")
_LOSSLESS_SIGN: Final = 0x2F
_LOSSY_SIGN: Final = b"\x9d\x01\x2a"
_BYTES_A_PIXEL: Final = 16
"""Two canvases, the copy that is handed over, and Pillow's own, as measured."""
_CODE_BYTES: Final = 6_000
"""Tables of one group of prefix codes in lossless data, which may have a group for each 4 x 4 pixels."""
_CODE_BITS: Final = 20
_MS_A_PIXEL: Final = 50e-6


def inspect(data: bytes) -> PhotoHeader:
    """Read the chunks of a WebP.

    Raises:
        InvalidRequestError: Not whole, too large, or of too many chunks.
    """
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise damaged(NAME, f"{len(data):,} of {int.from_bytes(data[4:8], 'little') + 8:,} bytes")
    size: tuple[int, int] | None = None
    metadata: dict[bytes, bytes] = {}
    lossless = False
    pictures = False
    for kind, start, end in _chunks(data):
        if kind in (_EXTENDED, _LOSSY, _LOSSLESS):
            size = size or _size(kind, data[start : min(end, start + 10)])
        elif kind in _METADATA:
            metadata.setdefault(kind, data[start:end])
        pictures = pictures or kind in (_LOSSY, _LOSSLESS, _FRAME)
        lossless = lossless or kind in (_LOSSLESS, _ALPHA, _FRAME)
    if size is None or not pictures:
        raise damaged(NAME, "no picture")
    check_size(NAME, *size)
    pixels = size[0] * size[1]
    groups = min(pixels // 16, 65_536, len(data) * 8 // _CODE_BITS) if lossless else 0
    profile = metadata.get(b"ICCP", b"")
    return PhotoHeader(
        format=NAME,
        width=size[0],
        height=size[1],
        data=data,
        orientation=exif_orientation(metadata.get(b"EXIF", b""))
        or xmp_orientation(metadata.get(b"XMP ", b""))
        or NOT_TURNED,
        profile=profile if len(profile) <= limits.MAX_PROFILE_BYTES else b"",
        work_ms=pixels * _MS_A_PIXEL,
        memory_bytes=pixels * _BYTES_A_PIXEL + groups * _CODE_BYTES,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each chunk, and where its body starts and ends."""
    place = 12
    last = int.from_bytes(data[4:8], "little") + 8
    for _ in range(limits.MAX_IMAGE_PARTS):
        if place + 8 > last:
            return
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        end = place + 8 + length
        if end > len(data):
            raise damaged(NAME, f"the chunk at byte {place:,} is not whole")
        yield data[place : place + 4], place + 8, end
        place = end + length % 2
    raise too_many_parts(NAME, "chunks", limits.MAX_IMAGE_PARTS, limits.MAX_IMAGE_PARTS)


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    """Return width and height, as the container or the first picture states them."""
    if kind == _EXTENDED and len(body) == 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == _LOSSY and len(body) == 10 and body[3:6] == _LOSSY_SIGN:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if kind == _LOSSLESS and len(body) >= 5 and body[0] == _LOSSLESS_SIGN:
        packed = int.from_bytes(body[1:5], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    raise damaged(NAME, f"a {kind.decode().strip()} chunk without a size")


def decode(header: PhotoHeader) -> Image.Image:
    """Decode a WebP, of an animated one the first picture; raises what Pillow raises."""
    image = Image.open(io.BytesIO(header.data), formats=(NAME,))
    image.load()
    return image
