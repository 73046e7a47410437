"""PNG and APNG: each chunk, with the checksums of those that the pixels come from.

The decoder is given these chunks alone: what other chunks hold (text, times, frames of an animation), however damaged
or well packed, does not matter.
"""

from __future__ import annotations

import binascii
import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
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

NAME: Final = "PNG"
MAGIC: Final = b"\x89PNG\r\n\x1a\n"

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_SAMPLES: Final = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_DEPTHS: Final = {
    _GREY: (1, 2, 4, 8, 16),
    _RGB: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GREY_ALPHA: (8, 16),
    _RGBA: (8, 16),
}
_PIXELS: Final = (b"IHDR", b"PLTE", b"tRNS", b"IDAT")
"""The chunks that pixels come from; tRNS, though optional, says which of them are seen."""
_KEPT: Final = (b"eXIf", b"iCCP", b"sRGB", b"iTXt", b"zTXt", b"tEXt")
_RAW_EXIF: Final = b"Raw profile type exif"
_XMP: Final = b"XML:com.adobe.xmp"
_PIECE_BYTES: Final = 256 * 1024
_MS_A_PIXEL: Final = 11e-6
_ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Each pass of an interlaced photo: its first column and row, and the steps (PNG specification, 8.2)."""


def inspect(data: bytes) -> PhotoHeader:
    """Read the chunks of a PNG.

    Raises:
        InvalidRequestError: Not whole, too large, or of too many chunks.
    """
    parts: list[bytes] = [MAGIC]
    found: dict[bytes, bytes] = {}
    for kind, body, whole in _chunks(data):
        if kind in _PIXELS:
            if len(parts) == 1 and kind != b"IHDR":
                raise damaged(NAME, "it does not start with its header")
            if kind != b"IDAT" or kind not in found:
                found[kind] = bytes(body)
            if kind != b"tRNS" or found[b"IHDR"][9] == _PALETTE:
                parts.append(bytes(whole))
        elif kind in _KEPT and _is_sound(kind, body, whole):
            _keep(found, kind, bytes(body))
    width, height, depth, colours, interlaced = _read_header(found)
    parts.append(_chunk(b"IEND", b""))
    return PhotoHeader(
        format=NAME,
        width=width,
        height=height,
        data=b"".join(parts),
        orientation=_orientation(found),
        profile=_profile(found),
        key=_key(found, depth, colours),
        interlaced=interlaced,
        depth=depth,
        work_ms=width * height * _MS_A_PIXEL,
        memory_bytes=width * height * 4,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, memoryview]]:
    """Yield the kind, the body and the whole of each chunk but the last; for pixels, the checksum is right."""
    view = memoryview(data)
    place = len(MAGIC)
    for _ in range(limits.MAX_IMAGE_PARTS):
        head = data[place : place + 8]
        end = place + 12 + int.from_bytes(head[:4], "big")
        kind = head[4:]
        if len(head) < 8 or end > len(data):
            raise damaged(NAME, "it ends in front of its last chunk")
        body = view[place + 8 : end - 4]
        if kind in _PIXELS and not _is_sound(kind, body, view[place:end]):
            raise damaged(NAME, f"wrong checksum of {kind.decode()} at byte {place:,}")
        if kind == b"IEND":
            return
        if not kind.isalpha() or (kind[:1].isupper() and kind not in _PIXELS):
            raise damaged(NAME, f"unknown chunk {kind!r} at byte {place:,}")
        yield kind, body, view[place:end]
        place = end
    raise too_many_parts(NAME, "chunks", limits.MAX_IMAGE_PARTS, limits.MAX_IMAGE_PARTS)


def _is_sound(kind: bytes, body: memoryview, whole: memoryview) -> bool:
    return zlib.crc32(body, zlib.crc32(kind)) == int.from_bytes(whole[-4:], "big")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _keep(found: dict[bytes, bytes], kind: bytes, body: bytes) -> None:
    """Keep the first of each kind; of text, what may tell the orientation."""
    if kind in (b"iTXt", b"zTXt", b"tEXt"):
        name, _, rest = body.partition(b"\0")
        if name == _RAW_EXIF and kind != b"iTXt":
            text = rest if kind == b"tEXt" else _unpacked(rest[1:])
            found.setdefault(_RAW_EXIF, text)
        elif name == _XMP and kind == b"iTXt" and rest[:1] == b"\0":
            found.setdefault(_XMP, rest)
    else:
        found.setdefault(kind, body)


def _unpacked(data: bytes) -> bytes:
    """Return unpacked metadata; empty where it is damaged or unpacks to more than a profile may have."""
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(data, limits.MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return plain if unpacker.eof else b""


def _read_header(found: Mapping[bytes, bytes]) -> tuple[int, int, int, int, bool]:
    header = found.get(b"IHDR", b"")
    if len(header) != 13:
        raise damaged(NAME, "no header")
    width, height, depth, colours, packing, filters, interlaced = struct.unpack(">IIBBBBB", header)
    if depth not in _DEPTHS.get(colours, ()) or packing or filters or interlaced > 1:
        raise damaged(NAME, "a header with values that no PNG has")
    check_size(NAME, width, height)
    if b"IDAT" not in found:
        raise damaged(NAME, "no pixels")
    palette = len(found.get(b"PLTE", b""))
    if colours == _PALETTE and (not palette or palette % 3 or palette > 768):
        raise damaged(NAME, "no palette" if not palette else f"a palette of {palette} bytes")
    return width, height, depth, colours, bool(interlaced)


def _orientation(found: Mapping[bytes, bytes]) -> int:
    exif = found.get(b"eXIf", b"")
    if not exif and _RAW_EXIF in found:
        # A name, a length, and the bytes in hexadecimal, each in lines of their own.
        try:
            exif = binascii.unhexlify(b"".join(found[_RAW_EXIF].split()[2:]))
        except ValueError:
            exif = b""
    return exif_orientation(exif) or xmp_orientation(found.get(_XMP, b"")) or NOT_TURNED


def _profile(found: Mapping[bytes, bytes]) -> bytes:
    _, name, packed = found.get(b"iCCP", b"").partition(b"\0")
    return _unpacked(packed[1:]) if name else b""


def _key(found: Mapping[bytes, bytes], depth: int, colours: int) -> tuple[int, ...]:
    """Return the samples of the colour that is transparent, at the photo's own depth made 8 or 16 bits."""
    given = found.get(b"tRNS", b"")
    samples = _SAMPLES[colours]
    if colours not in (_GREY, _RGB) or len(given) < 2 * samples:
        return ()
    values = struct.unpack_from(f">{samples}H", given)
    # Pillow spreads samples of fewer than 8 bits over 0 to 255.
    return tuple(value * (255 // (2**depth - 1)) if depth < 8 else value for value in values)


def decode(header: PhotoHeader) -> Image.Image:
    """Decode a PNG.

    Raises:
        InvalidRequestError: Rows are missing.
        OSError: The data is damaged, as Pillow says it.
    """
    image = Image.open(io.BytesIO(header.data), formats=(NAME,))
    image.load()
    # Rows that did not come are left at 0, the last of them first: only then is it worth to unpack the data again.
    last = image.crop((0, header.height - 1, header.width, header.height)).tobytes()
    if (header.interlaced or not any(last)) and not _is_complete(header):
        raise damaged(NAME, "rows are missing")
    return image


def low_bytes(header: PhotoHeader) -> NDArray[np.uint8]:
    """Return the lower bytes of an RGB photo's 16-bit samples, [H, W, 3]: Pillow keeps the upper ones alone."""
    image = Image.open(io.BytesIO(header.data), formats=(NAME,))
    image.tile = [image.tile[0]._replace(args="RGB;16L")]
    return np.asarray(image)


def _is_complete(header: PhotoHeader) -> bool:
    """Unpack the pixels, and say whether every row is there."""
    _, _, depth, colours, _, _, interlaced = struct.unpack_from(">IIBBBBB", header.data, len(MAGIC) + 8)
    wanted = _raw_bytes(header.width, header.height, depth * _SAMPLES[colours], bool(interlaced))
    unpacker = zlib.decompressobj()
    got = 0
    for kind, body, _ in _chunks(header.data):
        rest = bytes(body) if kind == b"IDAT" else b""
        while rest and got < wanted:
            got += len(unpacker.decompress(rest, _PIECE_BYTES))
            rest = unpacker.unconsumed_tail
    while got < wanted and not unpacker.eof:
        piece = unpacker.decompress(b"", _PIECE_BYTES)
        if not piece:
            break
        got += len(piece)
    return got >= wanted


def _raw_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Return how many bytes the rows have, each with the byte that names its filter."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total
