"""AVIF and HEIC: boxes that hold a still picture, and the sizes that they state.

Their decoders turn the picture upright themselves, as the format demands; what EXIF says of it does not count.
"""

from __future__ import annotations

import importlib.util
import io
import struct
from collections.abc import Iterator
from typing import Final

from PIL import AvifImagePlugin, Image

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing.formats.header import (
    NOT_TURNED,
    PhotoHeader,
    check_size,
    damaged,
    exif_orientation,
    too_many_parts,
)

AVIF: Final = "AVIF"
HEIC: Final = "HEIC"

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_SIZES: Final = (b"meta", b"iprp", b"ipco", b"ispe")
"""The boxes that lead to the size."""
_PICTURE: Final = frozenset({b"meta", b"mdat"})
_VERSION_BYTES: Final = 4
_BYTES_A_PIXEL: Final = 16
_MS_A_PIXEL: Final = 120e-6


def container_format(data: bytes) -> str | None:
    """Return AVIF or HEIC as the brands of the first box say; None for a film or anything else."""
    length = int.from_bytes(data[:4], "big")
    brands = {data[place : place + 4] for place in (8, *range(16, min(length, len(data), 256), 4))}
    if brands & _AVIF_BRANDS:
        return AVIF
    if brands & _HEIC_BRANDS:
        return HEIC
    return None


def inspect(data: bytes, name: str) -> PhotoHeader:
    """Read the boxes of an AVIF or a HEIC, which `container_format` tells.

    Raises:
        InvalidRequestError: Not whole, too large, or HEIC where this server does not read it.
    """
    if name == HEIC and not reads_heic():
        raise InvalidRequestError(
            "image: a HEIC photo, which this server is not set up to read; send it as JPEG (iPhones send JPEG with "
            "Settings, Camera, Formats, Most Compatible), or install `product-match[heic]` on the server"
        )
    sizes = [struct.unpack(">II", body[4:12]) for body in _found(name, data, _SIZES) if len(body) >= 12]
    if not sizes:
        raise damaged(name, "no size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    check_size(name, width, height)
    return PhotoHeader(
        format=name,
        width=width,
        height=height,
        data=data,
        work_ms=width * height * _MS_A_PIXEL,
        memory_bytes=width * height * _BYTES_A_PIXEL,
        risky=True,
    )


def reads_heic() -> bool:
    """Say whether the library for HEIC is installed."""
    return importlib.util.find_spec("pi_heif") is not None


def _found(name: str, data: bytes, path: tuple[bytes, ...]) -> Iterator[bytes]:
    """Yield the bodies of the boxes that a path leads to."""
    for kind, body in _boxes(name, data):
        if kind != path[0]:
            continue
        if len(path) == 1:
            yield body
        else:
            yield from _found(name, body[_VERSION_BYTES:] if kind == b"meta" else body, path[1:])


def _boxes(name: str, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    seen: set[bytes] = set()
    for _ in range(limits.MAX_IMAGE_PARTS):
        if place + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, place)
        start = place + 8
        if length == 1 and start + 8 <= len(data):
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = place + length if length else len(data)
        if end > len(data) or end < start:
            if seen >= _PICTURE:
                # What phones and programs append.
                return
            raise damaged(name, f"the box at byte {place:,} is not whole")
        seen.add(kind)
        yield kind, data[start:end]
        place = end
    raise too_many_parts(name, "boxes", limits.MAX_IMAGE_PARTS, limits.MAX_IMAGE_PARTS)


def decode(header: PhotoHeader) -> tuple[Image.Image, int]:
    """Decode an AVIF or a HEIC; raises what its library raises.

    Returns:
        The picture, and the orientation that is left to apply.
    """
    if header.format == AVIF:
        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
        image: Image.Image = Image.open(io.BytesIO(header.data), formats=(AVIF,))
        check_size(AVIF, *image.size)
        image.load()
        return image, exif_orientation(image.info.get("exif", b"")) or NOT_TURNED
    import pi_heif

    photo = pi_heif.open_heif(io.BytesIO(header.data), convert_hdr_to_8bit=True)
    check_size(HEIC, *photo.size)
    image = photo.to_pillow()
    return image, NOT_TURNED
