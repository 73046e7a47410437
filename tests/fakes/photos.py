"""Photos made on the spot, in every kind that a shop's customers send."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """A picture whose left is red, right is green and top is brighter than its bottom."""
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(255, 0, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([255 - x, x, y], -1).astype(np.uint8), "RGB").convert(mode)


def jpeg(width: int = 64, height: int = 48) -> bytes:
    return encoded(gradient(width, height), "JPEG", quality=92)


def truncated_jpeg() -> bytes:
    data = jpeg(256, 256)
    return data[: len(data) // 2]


def animated_gif() -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50, loop=0)


def png_16_bit() -> bytes:
    samples = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    return encoded(Image.fromarray(samples), "PNG")


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def turned_jpeg(orientation: int) -> bytes:
    return encoded(gradient(64, 48), "JPEG", quality=95, exif=exif(orientation))


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colours: int, rows: bytes, *chunks: bytes, interlaced: int = 0) -> bytes:
    """A PNG of rows that have their filter bytes; `chunks` stand in front of the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def huge_png(width: int = 20_000, height: int = 20_000) -> bytes:
    """A PNG whose header says 400 megapixels, in under a hundred bytes: it must be refused before decoding."""
    return png(width, height, 8, 2, b"")
