"""Photos for the fuzzer: whole ones of every format and the cases that went wrong, bytes changed, moved and cut."""

from __future__ import annotations

import functools
import struct
import zlib
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.fakes import photos

CASES = Path(__file__).parents[1] / "cases" / "photos"
_LARGEST = 20_000
_PNG_SIGNATURE = 8
_INTERESTING = (0, 1, 2, 4, 8, 0x7F, 0x80, 0xD9, 0xDA, 0xFE, 0xFF)


@functools.cache
def corpus() -> list[bytes]:
    """Return whole photos of every format and mode, and the cases."""
    image = photos.gradient(48, 40)
    p3 = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = [
        photos.encoded(image, "JPEG", quality=80, icc_profile=p3),
        photos.encoded(image, "JPEG", quality=80, progressive=True),
        photos.encoded(image.convert("CMYK"), "JPEG", quality=80),
        photos.encoded(image.convert("L"), "JPEG", quality=80),
        photos.turned_jpeg(6),
        *(photos.encoded(image.convert(mode), "PNG") for mode in ("1", "L", "P", "RGB", "RGBA", "LA")),
        photos.encoded(image, "PNG", icc_profile=p3, exif=photos.exif(6)),
        photos.encoded(image.convert("P"), "PNG", transparency=3),
        photos.png_16_bit(),
        photos.animated_gif(),
        photos.encoded(image.convert("P"), "GIF", transparency=2, interlace=True),
        *(photos.encoded(image.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")),
        photos.encoded(image, "WEBP", quality=60, icc_profile=p3, exif=photos.exif(3)),
        photos.encoded(image.convert("RGBA"), "WEBP", lossless=True),
        photos.encoded(image, "WEBP", save_all=True, append_images=[image.rotate(90)]),
        photos.encoded(image, "AVIF", quality=40, speed=10),
        *(
            photos.encoded(image.convert(mode), "TIFF", compression=packing)
            for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "LA")
            for packing in (None, "tiff_lzw")
        ),
        photos.encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        photos.encoded(image, "TIFF", compression="jpeg"),
        photos.encoded(image, "TIFF", compression="packbits", big_tiff=True),
        photos.encoded(image.convert("1"), "TIFF", compression="group4"),
        photos.encoded(Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40), "TIFF"),
    ]
    cases = [path.read_bytes() for path in sorted(CASES.iterdir())]
    return [*made, *(case for case in cases if len(case) < _LARGEST)]


_places = st.integers(0, 2**20)
_edits = st.one_of(
    st.tuples(st.just("byte"), _places, st.integers(0, 255)),
    st.tuples(st.just("byte"), _places, st.sampled_from(_INTERESTING)),
    st.tuples(st.just("header"), _places, st.integers(0, 255)),
    st.tuples(st.just("bit"), _places, st.integers(0, 7)),
    st.tuples(st.just("number"), _places, st.sampled_from([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 65_536, 24_000])),
    st.tuples(st.just("take out"), _places, st.integers(1, 64)),
    st.tuples(st.just("repeat"), _places, st.integers(1, 64)),
    st.tuples(st.just("cut"), _places, st.just(0)),
    st.tuples(st.just("graft"), _places, _places),
)


@st.composite
def photo_files(draw: st.DrawFn) -> bytes:
    """A photo with up to four changes; those of a PNG with its checksums made right again, as often as not."""
    files = corpus()
    data = bytearray(files[draw(st.integers(0, len(files) - 1))])
    for kind, place, value in draw(st.lists(_edits, max_size=4)):
        if not data:
            break
        data = _edited(data, kind, place % len(data), value)
    if data[1:4] == b"PNG" and draw(st.booleans()):
        _mend_checksums(data)
    return bytes(data)


def _edited(data: bytearray, kind: str, at: int, value: int) -> bytearray:
    if kind == "byte":
        data[at] = value
    elif kind == "header":
        data[at % min(len(data), 160)] = value
    elif kind == "bit":
        data[at] ^= 1 << value
    elif kind == "number":
        packed = struct.pack("<I" if at % 2 else ">I", value)
        data[at : at + 4] = packed[: len(data) - at]
    elif kind == "take out":
        del data[at : at + value]
    elif kind == "repeat":
        data[at:at] = data[at : at + value] * (1 + at % 3)
    elif kind == "cut":
        del data[at:]
    else:
        other = corpus()[value % len(corpus())]
        data[at:] = other[at:]
    return data


def _mend_checksums(data: bytearray) -> None:
    place = _PNG_SIGNATURE
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + length
        if end + 4 > len(data):
            return
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[place + 4 : end]))
        place = end + 4
