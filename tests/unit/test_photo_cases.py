"""Small files that once went wrong, each with what is right; and what is no photo is refused by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing.formats import heif
from product_match.preprocessing.images import ImagePreprocessor
from tests.fakes import photos
from tests.fakes.encoders import encoder_spec

CASES = Path(__file__).parents[1] / "cases" / "photos"


@pytest.fixture(scope="module")
def preprocessor():
    made = ImagePreprocessor(encoder_spec())
    yield made
    made.close()


def case(name):
    return (CASES / name).read_bytes()


def close(one, other, within):
    return np.abs(one.astype(int) - other.astype(int)).mean() <= within


@pytest.mark.parametrize("orientation", [2, 3, 5, 6, 8])
def test_a_turned_tiff_is_turned_once(preprocessor, orientation):
    expected = preprocessor.pixels(case(f"orientation-{orientation}.jpg"))
    assert close(preprocessor.pixels(case(f"orientation-{orientation}.tiff")), expected, 2.0)


@pytest.mark.parametrize("name", ["long-ztxt.png", "text-wrong-crc.png", "plain.avif"])
def test_what_holds_a_whole_picture_is_answered(preprocessor, name):
    mirrored = preprocessor.pixels(case("orientation-2.jpg"))
    assert close(preprocessor.pixels(case(name)), mirrored[:, ::-1], 6.0)


def test_heic_is_read_and_turned_once(preprocessor):
    plain, turned = preprocessor.pixels(case("plain.heic")), preprocessor.pixels(case("orientation-6.heic"))
    assert close(plain, preprocessor.pixels(photos.encoded(photos.gradient(96, 64), "PNG")), 3.0)
    assert close(turned, np.rot90(plain, -1), 6.0)


def test_heic_is_refused_with_words_where_its_library_is_missing(preprocessor, monkeypatch):
    monkeypatch.setattr(heif, "reads_heic", lambda: False)
    with pytest.raises(
        InvalidRequestError, match="a HEIC photo, which this server is not set up to read; send it as"
    ):
        preprocessor.pixels(case("plain.heic"))


REFUSED = {
    "palette-without-plte.png": "the PNG data is damaged or cut short (no palette)",
    "tile-24000.tiff": "a TIFF with 1 tiles of 24000 x 24000, which are more than its 100 x 100 pixels need",
    "scan-repeated-300-times.jpg": "a JPEG of at least 101 scans of 1,960,000 pixels, the limit is 100",
    "rows-24-of-60.png": "the PNG data is damaged or cut short (rows are missing)",
    "flipped-byte.png": "the PNG data is damaged or cut short (wrong checksum of IDAT",
    "cut-40-percent-with-end.jpg": "the JPEG data is damaged or cut short (Corrupt JPEG data: premature end",
    "cut-40-percent.webp": "the WEBP data is damaged or cut short",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_damaged_or_too_much_is_refused(preprocessor, name):
    with pytest.raises(InvalidRequestError) as caught:
        preprocessor.pixels(case(name))
    assert str(caught.value).startswith(f"image: {REFUSED[name]}")


NO_PHOTOS = {
    b"<svg xmlns='http://www.w3.org/2000/svg'/>": "an SVG drawing, which is not read; send it drawn as PNG",
    b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- a shoe -->\n<svg width='3'></svg>": "an SVG drawing",
    b"<!DOCTYPE html><html><body>not found</body></html>": "a web page (HTML), which is not read; send the bytes of",
    b"\n <HTML><head>": "a web page (HTML)",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>": "an XML document, which is not read",
    b"%PDF-1.7\n": "a PDF document, which is not read; send a page of it as PNG or JPEG",
    b"%!PS-Adobe-3.0 EPSF-3.0": "a PostScript drawing",
    b"\xc5\xd0\xd3\xc6": "a PostScript drawing",
    b"\xff\x0a" + bytes(20): "a JPEG XL file, which is not read; send it as JPEG",
    b"\0\0\0\x0cJXL \r\n\x87\n": "a JPEG XL file",
    b"\0\0\0\x0cjP  \r\n\x87\n": "a JPEG 2000 file",
    b"\xff\x4f\xff\x51" + bytes(20): "a JPEG 2000 file",
    b"8BPS\0\1": "a Photoshop file, which is not read; send it exported as PNG or JPEG",
    b"\0\0\1\0\1\0": "an icon (ICO)",
    b"\0\0\2\0\1\0": "a cursor (CUR)",
    b"DDS \x7c": "a DDS texture",
    b"v/1\1\2": "an OpenEXR file",
    b"FUJIFILMCCD-RAW 0201": "a camera's raw file",
    b"PK\3\4": "a ZIP archive, which is not read; send the bytes of the photo itself",
    b"\x1f\x8b\x08": "gzip data",
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x1aE\xdf\xa3": "a film (WebM or Matroska)",
    b"\0\0\0\x18ftypmp42\0\0\0\0isommp42": "a film (MP4 or MOV), which is not read; send one picture of it",
    b"RIFF\x24\0\0\0AVI LIST": "a film or a sound (RIFF)",
    b"/9j/4AAQSkZJRg": "base64 text, which is not read; send the bytes that it stands for, or a data URL",
    b"iVBORw0KGgoAAAA": "base64 text",
    b'{"error": "not found"}': "a JSON document",
    b"version https://git-lfs.github.com/spec/v1": "a pointer of Git LFS",
    b"https://shop.example/shoe.jpg": "an address, which is not read; send the bytes that lie there",
    b"http://shop.example/shoe.jpg": "an address",
    b"\0" * 40: "40 bytes that are not a photo in a known format; send a JPEG, PNG, WebP, AVIF, HEIC, GIF",
}


@pytest.mark.parametrize("data", NO_PHOTOS)
def test_what_is_no_photo_is_refused_by_its_name(preprocessor, data):
    with pytest.raises(InvalidRequestError) as caught:
        preprocessor.pixels(data)
    assert str(caught.value).startswith(f"image: {NO_PHOTOS[data]}")


def test_the_limits_leave_room_for_what_phones_and_cameras_make():
    assert limits.MAX_IMAGE_PIXELS >= 48_000_000
    assert min(limits.MAX_PIXELS_OF.values()) >= 24_000_000
