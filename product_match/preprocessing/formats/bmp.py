"""BMP: its header, and whether all of its rows are there."""

from __future__ import annotations

import io
import struct
from typing import Final

from PIL import Image

from product_match.contract import limits
from product_match.preprocessing.formats.header import PhotoHeader, check_size, damaged, unread

NAME: Final = "BMP"
MAGIC: Final = b"BM"

_CORE_BYTES: Final = 12
_INFO_BYTES: Final = (40, 52, 56, 64, 108, 124)
_RUN_LENGTH: Final = (1, 2)
_BITFIELDS: Final = 3
_DEPTHS: Final = (1, 4, 8, 16, 24, 32)
_MS_A_PIXEL: Final = 6e-6
_MS_A_RUN_LENGTH_BYTE: Final = 500e-6
"""Pillow unpacks runs in Python."""


def inspect(data: bytes) -> PhotoHeader:
    """Read the header of a BMP.

    Raises:
        InvalidRequestError: Not whole, of a kind that is not read, or too large.
    """
    try:
        start, info_bytes = struct.unpack_from("<II", data, 10)
        if info_bytes == _CORE_BYTES:
            width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
            packing = 0
        elif info_bytes in _INFO_BYTES:
            width, height, _, depth, packing = struct.unpack_from("<iiHHI", data, 18)
        else:
            raise damaged(NAME, f"a header of {info_bytes:,} bytes")
    except struct.error as error:
        raise damaged(NAME, "it ends in its header") from error
    height = abs(height)
    if depth not in _DEPTHS or width < 0:
        raise damaged(NAME, f"{depth} bits a pixel, {width} pixels wide")
    check_size(NAME, width, height)
    runs = packing in _RUN_LENGTH
    if runs:
        if len(data) > limits.MAX_RUN_LENGTH_BYTES:
            raise unread(f"a BMP packed by run length with {len(data):,} bytes", "save it as PNG")
    elif packing not in (0, _BITFIELDS):
        raise unread(f"a BMP packed in way {packing}", "save it as PNG")
    elif start + (width * depth + 31) // 32 * 4 * height > len(data):
        raise damaged(NAME, "rows are missing")
    return PhotoHeader(
        format=NAME,
        width=width,
        height=height,
        data=data,
        work_ms=width * height * _MS_A_PIXEL + (len(data) * _MS_A_RUN_LENGTH_BYTE if runs else 0),
        memory_bytes=width * height * 4,
    )


def decode(header: PhotoHeader) -> Image.Image:
    """Decode a BMP; raises what Pillow raises."""
    image = Image.open(io.BytesIO(header.data), formats=(NAME,))
    image.load()
    return image
