"""Small files that ask for much: each has to be refused at once, in little memory."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from product_match.contract import limits
from tests.fakes import photos


@functools.cache
def _progressive(width: int, height: int) -> bytes:
    return photos.encoded(Image.new("L", (width, height), 90), "JPEG", progressive=True, quality=10)


def repeated_scans(width: int, height: int, count: int) -> bytes:
    """The last scan of a progressive JPEG again and again."""
    data = _progressive(width, height)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def separate_scans(count: int) -> bytes:
    """A baseline JPEG whose components come in scans of their own, repeated: all of them are collected."""
    data = photos.encoded(Image.new("RGB", (3000, 3000)), "JPEG", quality=10)
    scan = data.index(b"\xff\xda")
    one = b"\xff\xda\0\x08\1\1\0\0\x3f\0" + data[scan + 14 : -2]
    return data[:scan] + one * count + b"\xff\xd9"


def wide_tiff(width: int, height: int, packing: int, **tags: tuple[int, int, int]) -> bytes:
    """A TIFF that is all tags: `t257=(kind, count, value)`; the grey samples are not there."""
    entries = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, packing), 262: (3, 1, 1)}
    entries |= {273: (4, 1, 8), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, 100)}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    body = zlib.compress(bytes(1000)).ljust(120, b"\0")
    directory = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    return b"II*\0" + struct.pack("<I", 128) + body + struct.pack("<H", len(entries)) + directory + bytes(4)


def strips(width: int, height: int) -> bytes:
    """An uncompressed TIFF with a row in each strip."""
    rows = width * height
    tables = 8 + rows
    head = b"II*\0" + struct.pack("<I", tables + 8 * height)
    places = (8 + width * np.arange(height, dtype="<u4")).tobytes() + np.full(height, width, "<u4").tobytes()
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    directory += struct.pack("<HHII", 273, 4, height, tables) + struct.pack(
        "<HHII", 279, 4, height, tables + 4 * height
    )
    return head + bytes(rows) + places + struct.pack("<H", 9) + directory + bytes(4)


def _after_header(png: bytes, extra: bytes) -> bytes:
    return png[:33] + extra + png[33:]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(data)) + data for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_size(data: bytes, width: int, height: int) -> bytes:
    """An AVIF or HEIC whose boxes state another size than its picture has."""
    place = data.index(b"ispe") + 8
    return data[:place] + struct.pack(">II", width, height) + data[place + 8 :]


def _gif(width: int, height: int, extensions: bytes, picture: bytes) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 16, 16, 0) + b"\x02"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + extensions + frame + picture + b"\0;"


PNG = photos.encoded(photos.gradient(), "PNG")
JPEG = photos.jpeg()
TINY = b"".join(photos.chunk(b"teXt", b"") for _ in range(100))

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "jpeg, 300 scans": (lambda: repeated_scans(1400, 1400, 300), "scans of 1,960,000 pixels, the limit is 100"),
    "jpeg, 500 scans of 49 megapixels": (lambda: repeated_scans(7000, 7000, 500), "scans of 49,000,000 pixels, the"),
    "jpeg, 60 scans of 49 megapixels": (lambda: repeated_scans(7000, 7000, 60), "scans of 49,000,000 pixels, the"),
    "jpeg, separate scans": (lambda: separate_scans(120), "scans of 9,000,000 pixels, the limit is 100"),
    "jpeg, segments": (lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 4_000_000, "a JPEG of at least 10,000 segments"),
    "jpeg, filling": (lambda: b"\xff\xd8" + b"\xff" * 19_000_000, "it ends in front of its first scan"),
    "png, size": (photos.huge_png, "20000 x 20000 is 400,000,000 pixels, the limit is 50,000,000"),
    "png, side": (lambda: photos.huge_png(100_000, 8), "no side may be longer than 65,535; cut out the product"),
    "png, chunks": (lambda: _after_header(PNG, TINY * 15_000), "a PNG of at least 10,000 chunks, the"),
    "png, empty pixels": (
        lambda: _after_header(PNG, photos.chunk(b"IDAT", b"") * 1_500_000), "a PNG of at least 10,000",
    ),
    "gif, size": (lambda: _gif(65_535, 65_535, b"", b"\1\0"), "65535 x 65535 is 4,294,836,225 pixels"),
    "gif, blocks": (lambda: _gif(16, 16, b"", b"\1\0" * 9_000_000), "a GIF of at least 100,000 blocks, the limit is"),
    "gif, comments": (lambda: _gif(16, 16, b"!\xfe\0" * 6_000_000, b"\1\0"), "a GIF of at least 10,000 extensions"),
    "gif, comment blocks": (lambda: _gif(16, 16, b"!\xfe" + b"\1x" * 9_000_000 + b"\0", b"\1\0"), "100,000 blocks"),
    "webp, size": (
        lambda: riff((b"VP8X", bytes(4) + b"\xff\x3f\0\xff\x3f\0"), (b"VP8 ", bytes(10))),
        "16384 x 16384 is 268,435,456 pixels, the limit of a WEBP is 25,000,000",
    ),
    "webp, chunks": (
        lambda: riff((b"VP8X", bytes(4) + b"\x20\0\0\x20\0\0"), *[(b"XXXX", b"")] * 1_000_000),
        "a WEBP of at least 10,000 chunks",
    ),
    "bmp, size": (
        lambda: b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 40_000, 40_000, 1, 24, 0) + bytes(24),
        "40000 x 40000 is 1,600,000,000 pixels",
    ),
    "bmp, runs": (
        lambda: b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 4000, 4000, 1, 8, 1) + b"\1\0" * 5_000_000,
        "a BMP packed by run length with 10,000,034 bytes, which is not read; save it as PNG",
    ),
    "tiff, tile": (
        lambda: wide_tiff(100, 100, 8, t322=(4, 1, 24_000), t323=(4, 1, 24_000), t324=(4, 1, 8), t325=(4, 1, 100)),
        "a TIFF with 1 tiles of 24000 x 24000, which are more than its 100 x 100 pixels need",
    ),
    "tiff, tile height": (
        lambda: wide_tiff(100, 100, 5, t322=(4, 1, 16), t323=(4, 1, 2**32 - 1), t324=(4, 1, 8), t325=(4, 1, 100)),
        "which are more than its 100 x 100 pixels need",
    ),
    "tiff, strips": (lambda: strips(8, 1_200_000), "a TIFF of at least 1,200,000 strips or tiles, the limit"),
    "tiff, short strips": (lambda: strips(8, 65_000), "a TIFF of at least 65,000 strips or tiles"),
    "tiff, strip bytes": (
        lambda: wide_tiff(7000, 7000, 8, t258=(3, 1, 16), t277=(3, 1, 4)), "392,000,000 bytes in one strip or tile",
    ),
    "tiff, samples": (lambda: wide_tiff(100, 100, 8, t277=(3, 1, 65_535)), "a TIFF of 65,535 samples a pixel"),
    "tiff, tags": (lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(800_000), "a TIFF of at least 65,535 tags"),
    "tiff, values": (lambda: wide_tiff(100, 100, 8, t338=(3, 5_000_000, 8)) + bytes(9_000_000), "damaged or cut"),
    "tiff, the same values": (
        lambda: wide_tiff(100, 100, 8, **{f"t{n}": (7, 900_000, 8) for n in range(400, 800)}) + bytes(1_000_000),
        "points outside of the file",
    ),
    "avif, size": (
        lambda: with_size(photos.encoded(photos.gradient(), "AVIF"), 30_000, 30_000),
        "30000 x 30000 is 900,000,000 pixels, the limit of an AVIF is 25,000,000",
    ),
    "avif, boxes": (
        lambda: photos.encoded(photos.gradient(), "AVIF") + b"\0\0\0\x08free" * 2_000_000, "an AVIF of at least",
    ),
    "too many bytes": (lambda: JPEG + bytes(limits.MAX_IMAGE_BYTES), "the limit is 20,971,520; send a smaller"),
}  # fmt: skip

ANSWERED: dict[str, Callable[[], bytes]] = {
    "png, text that unpacks to a gigabyte": lambda: _after_header(
        PNG, photos.chunk(b"zTXt", b"Raw profile type exif\0\0" + _gigabyte())
    ),
    "png, international text": lambda: _after_header(PNG, photos.chunk(b"iTXt", b"x\0\1\0\0\0" + _gigabyte())),
    "png, profile": lambda: _after_header(PNG, photos.chunk(b"iCCP", b"x\0\0" + _gigabyte())),
    "png, pixels that unpack to a gigabyte": lambda: photos.png(64, 48, 8, 2, b"").replace(
        photos.chunk(b"IDAT", zlib.compress(b"")), photos.chunk(b"IDAT", _gigabyte())
    ),
    "jpeg, profile of 15 MB": lambda: _with_profile(JPEG, 15_000_000),
    "webp, profile of 15 MB": lambda: photos.encoded(photos.gradient(), "WEBP", icc_profile=bytes(15_000_000)),
    "tiff, strip that unpacks to a gigabyte": lambda: _packed_strip(),
}
"""What is too much in these is not needed for the picture."""

DECODED: dict[str, Callable[[], bytes]] = {
    "avif, another size than stated": lambda: with_size(
        photos.encoded(Image.new("L", (4000, 4000), 255), "AVIF", speed=10, quality=10), 64, 64
    ),
    "webp, 25 megapixels": lambda: bytes.fromhex(
        "524946461e000000574542505650384c110000002f87d3e1040750e4fe17b9ff8188e87f0000"
    ),
    "png, 50 megapixels with alpha": lambda: photos.png(8000, 6250, 8, 6, bytes((1 + 32_000) * 6250)),
    "tiff, 50 megapixels in one strip, turned": lambda: _one_strip(8000, 6250),
}
"""These are decoded, or given up on, in a process of their own."""


@functools.cache
def _gigabyte() -> bytes:
    packer = zlib.compressobj(1)
    piece = packer.compress(bytes(1024 * 1024)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1024 * 1024)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece + again * 1023


def _with_profile(jpeg: bytes, size: int) -> bytes:
    part = b"ICC_PROFILE\0\1\1" + bytes(65_000)
    segment = b"\xff\xe2" + struct.pack(">H", 2 + len(part)) + part
    return jpeg[:2] + segment * (size // len(segment)) + jpeg[2:]


def _packed_strip() -> bytes:
    data = bytearray(wide_tiff(64, 48, 8, t273=(4, 1, 1000), t279=(4, 1, len(_gigabyte()))))
    return bytes(data).ljust(1000, b"\0") + _gigabyte()


def _one_strip(width: int, height: int) -> bytes:
    """White, RGB, and to be turned."""
    packed = zlib.compress(b"\xff" * (3 * width * height), 1)
    data = bytearray(
        wide_tiff(
            width,
            height,
            8,
            t262=(3, 1, 2),
            t277=(3, 1, 3),
            t274=(3, 1, 6),
            t273=(4, 1, 1000),
            t279=(4, 1, len(packed)),
        )
    )
    return bytes(data).ljust(1000, b"\0") + packed
