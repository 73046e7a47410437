"""GIF: its first picture. Comments and later pictures are not given to the decoder."""

from __future__ import annotations

import io
import struct
from typing import Final

from PIL import Image

from product_match.contract import limits
from product_match.preprocessing.formats.header import PhotoHeader, check_size, damaged, too_many_parts

NAME: Final = "GIF"
MAGIC: Final = b"GIF8"

_SCREEN_BYTES: Final = 13
_EXTENSION, _PICTURE = 0x21, 0x2C
_CONTROL: Final = 0xF9
_PALETTE: Final = 0x80
_MS_A_PIXEL: Final = 12e-6


def inspect(data: bytes) -> PhotoHeader:
    """Read a GIF up to the end of its first picture.

    Raises:
        InvalidRequestError: Not whole, too large, or of too many blocks.
    """
    try:
        control, descriptor, end = _first_picture(data)
        left, top, columns, rows = struct.unpack_from("<HHHH", data, descriptor + 1)
    except (IndexError, struct.error) as error:
        raise damaged(NAME, "it ends in front of the end of its first picture") from error
    screen = struct.unpack_from("<HH", data, 6)
    width, height = max(screen[0], left + columns), max(screen[1], top + rows)
    check_size(NAME, width, height)
    check_size(NAME, columns, rows)
    start = _SCREEN_BYTES + _palette_bytes(data[10])
    return PhotoHeader(
        format=NAME,
        width=width,
        height=height,
        data=data[:start] + control + data[descriptor:end] + b";",
        frame=None if (columns, rows) == (width, height) else (left, top, left + columns, top + rows),
        work_ms=width * height * _MS_A_PIXEL,
        memory_bytes=width * height * 4,
    )


def _first_picture(data: bytes) -> tuple[bytes, int, int]:
    """Return the control block of the first picture, where its descriptor starts, and where its data ends."""
    place = _SCREEN_BYTES + _palette_bytes(data[10])
    control = b""
    for _ in range(limits.MAX_IMAGE_PARTS):
        kind = data[place]
        if kind == _PICTURE:
            start = place + 10 + _palette_bytes(data[place + 9]) + 1
            return control, place, _after_blocks(data, start)
        if kind != _EXTENSION:
            raise damaged(NAME, f"no picture at byte {place:,}")
        end = _after_blocks(data, place + 2)
        if data[place + 1] == _CONTROL:
            control = data[place:end]
        place = end
    raise too_many_parts(NAME, "extensions", limits.MAX_IMAGE_PARTS, limits.MAX_IMAGE_PARTS)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _PALETTE else 0


def _after_blocks(data: bytes, place: int) -> int:
    """Return where the blocks from `place` on end."""
    for _ in range(limits.MAX_GIF_BLOCKS):
        length = data[place]
        place += 1 + length
        if not length:
            return place
    raise too_many_parts(NAME, "blocks", limits.MAX_GIF_BLOCKS, limits.MAX_GIF_BLOCKS)


def decode(header: PhotoHeader) -> Image.Image:
    """Decode the first picture of a GIF; raises what Pillow raises, for missing rows too."""
    image = Image.open(io.BytesIO(header.data), formats=(NAME,))
    image.load()
    return image
