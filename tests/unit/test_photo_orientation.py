"""EXIF's orientation is applied once in every format that has it, and the crop is that of the upright photo."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from product_match.preprocessing.formats.header import exif_orientation, xmp_orientation
from product_match.preprocessing.images import ImagePreprocessor
from tests.fakes import photos
from tests.fakes.encoders import encoder_spec

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True, "exact": True}, "TIFF": {}}


@pytest.fixture(scope="module")
def preprocessor():
    made = ImagePreprocessor(encoder_spec())
    yield made
    made.close()


def upright(image, orientation):
    tagged = image.copy()
    tagged.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(tagged)


def tagged(image, kind, orientation, **options):
    if kind == "TIFF":
        return photos.encoded(image, kind, tiffinfo={274: orientation}, **options)
    return photos.encoded(image, kind, exif=photos.exif(orientation), **options)


# An odd number of pixels is left out on one side of each, so a crop that is taken before turning is off by one.
@pytest.mark.parametrize("size", [(64, 48), (47, 64), (65, 48)])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_give_the_pixels_of_the_upright_photo(preprocessor, kind, orientation, size):
    image = photos.gradient(*size)
    expected = preprocessor.pixels(photos.encoded(upright(image, orientation), "PNG")).astype(int)
    found = preprocessor.pixels(tagged(image, kind, orientation, **LOSSLESS[kind])).astype(int)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_formats_give_the_upright_photo(preprocessor, kind, orientation):
    image = photos.gradient(65, 48)
    expected = preprocessor.pixels(photos.encoded(upright(image, orientation), "PNG")).astype(int)
    found = preprocessor.pixels(tagged(image, kind, orientation, quality=95)).astype(int)
    assert np.abs(found - expected).mean() < 4


def test_a_progressive_a_grey_and_a_multi_picture_jpeg_are_turned(preprocessor):
    image = photos.gradient(64, 48)
    expected = preprocessor.pixels(photos.encoded(upright(image, 6), "PNG")).astype(int)
    progressive = preprocessor.pixels(tagged(image, "JPEG", 6, quality=95, progressive=True))
    several = preprocessor.pixels(
        photos.encoded(image, "MPO", quality=95, exif=photos.exif(6), save_all=True, append_images=[image])
    )
    assert np.abs(progressive - expected).mean() < 4
    assert np.abs(several - expected).mean() < 4
    grey = preprocessor.pixels(tagged(image.convert("L"), "JPEG", 6, quality=95)).astype(int)
    assert np.abs(grey - preprocessor.pixels(photos.encoded(upright(image.convert("L"), 6), "PNG"))).mean() < 4


def test_an_animated_webp_and_an_apng_are_turned(preprocessor):
    image, other = photos.gradient(64, 48), Image.new("RGB", (64, 48))
    expected = preprocessor.pixels(photos.encoded(upright(image, 3), "PNG")).astype(int)
    for kind, options in (("WEBP", {"lossless": True}), ("PNG", {})):
        data = photos.encoded(
            image, kind, save_all=True, append_images=[other], exif=photos.exif(3), duration=50, **options
        )
        assert np.abs(preprocessor.pixels(data).astype(int) - expected).max() <= 1


def test_xmp_says_it_where_exif_does_not(preprocessor):
    image = photos.gradient(64, 48)
    expected = preprocessor.pixels(photos.encoded(upright(image, 8), "PNG")).astype(int)
    jpeg = photos.encoded(image, "JPEG", quality=95, xmp=XMP % 8)
    assert np.abs(preprocessor.pixels(jpeg) - expected).mean() < 4
    text = photos.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % 8)
    webp = photos.encoded(image, "WEBP", lossless=True, xmp=XMP % 8)
    for data in (after_header(photos.encoded(image, "PNG"), text), webp):
        assert np.abs(preprocessor.pixels(data).astype(int) - expected).max() <= 1
    both = photos.encoded(image, "JPEG", quality=95, xmp=XMP % 3, exif=photos.exif(8))
    assert np.abs(preprocessor.pixels(both) - expected).mean() < 4


def after_header(png, chunk):
    return png[:33] + chunk + png[33:]


def test_exif_in_the_text_of_a_png_counts(preprocessor):
    """ImageMagick wrote it so before PNG had a chunk for it."""
    image = photos.gradient(64, 48)
    block = photos.exif(6)
    text = b"\nexif\n%8d\n%s\n" % (len(block), block.hex().encode())
    expected = preprocessor.pixels(photos.encoded(upright(image, 6), "PNG")).astype(int)
    plain = photos.chunk(b"tEXt", b"Raw profile type exif\0" + text)
    packed = photos.chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    broken = photos.chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 3\nzz\n")
    for chunk in (plain, packed):
        found = preprocessor.pixels(after_header(photos.encoded(image, "PNG"), chunk)).astype(int)
        assert np.abs(found - expected).max() <= 1
    found = preprocessor.pixels(after_header(photos.encoded(image, "PNG"), broken))
    assert np.array_equal(found, preprocessor.pixels(photos.encoded(image, "PNG")))


@pytest.mark.parametrize(
    ("block", "orientation"),
    [
        (photos.exif(7), 7),
        (photos.exif(7)[6:], 7),
        (b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0", 6),
        (b"", None),
        (b"II*\0\xff\xff\xff\xff", None),
        (b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x09\0\0\0\0\0\0", None),
        (b"MM\0*\0\0\0\x08\0\1\x01\x12\0\4\0\0\0\1\0\6\0\0\0\0\0\0", None),
        (b"MM\0*\0\0\0\x08\xff\xff" + bytes(70), None),
        (b"II*\0" + struct.pack("<IH", 8, 0), None),
    ],
)
def test_damaged_exif_says_nothing(block, orientation):
    assert exif_orientation(block) == orientation


def test_xmp_is_read_in_both_of_its_spellings():
    assert xmp_orientation(XMP % 5) == 5
    assert xmp_orientation(b"<tiff:Orientation>6</tiff:Orientation>") == 6
    assert xmp_orientation(b"<tiff:Orientation>9</tiff:Orientation>") is None
