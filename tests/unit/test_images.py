"""Photos of every kind become the same pixels; what is no photo says what to do."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing.images import ImagePreprocessor
from tests.fakes import photos
from tests.fakes.encoders import encoder_spec

PREPROCESSOR = ImagePreprocessor(encoder_spec())


def pixels(data: bytes) -> np.ndarray:
    result = PREPROCESSOR.pixels(data)
    assert result.shape == (32, 32, 3)
    assert result.dtype == np.uint8
    return result


def test_resize_through_a_box_equals_resize_then_crop():
    image = photos.gradient(301, 200)
    scaled = image.resize((int(32 * 301 / 200), 32), Image.Resampling.BICUBIC)
    left = (scaled.width - 32) // 2
    expected = np.asarray(scaled.crop((left, 0, left + 32, 32))).astype(int)
    got = pixels(photos.encoded(image, "PNG")).astype(int)
    assert np.abs(got - expected).max() <= 1


def test_squash_keeps_the_whole_picture():
    preprocessor = ImagePreprocessor(encoder_spec(resize_mode="squash"))
    wide = preprocessor.pixels(photos.encoded(photos.gradient(300, 60), "PNG"))
    assert wide[16, 0, 0] > 240
    assert wide[16, -1, 1] > 240


def test_a_large_jpeg_through_draft_stays_within_one_of_255():
    image = photos.gradient(1600, 1200)
    exact = pixels(photos.encoded(image, "PNG")).astype(float)
    drafted = pixels(photos.encoded(image, "JPEG", quality=95)).astype(float)
    assert np.abs(exact - drafted).mean() <= 1.0


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "LA", "1"])
def test_modes_become_rgb(mode):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    pixels(photos.encoded(photos.gradient(mode=mode) if mode != "LA" else photos.gradient().convert("LA"), kind))


def test_cmyk_jpeg_keeps_its_colours():
    red = Image.new("RGB", (64, 64), (200, 30, 30)).convert("CMYK")
    mean = pixels(photos.encoded(red, "JPEG", quality=95)).reshape(-1, 3).mean(0)
    assert mean[0] > 150 > 100 > mean[1]


def test_sixteen_bits_are_scaled_not_clipped():
    values = pixels(photos.png_16_bit())
    assert 100 < values.mean() < 155
    assert values[0].mean() < 20
    assert values[-1].mean() > 235


def test_transparent_pixels_become_white():
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    assert pixels(photos.encoded(clear, "PNG")).min() == 255


def test_a_transparent_palette_becomes_white():
    image = Image.new("P", (32, 32), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert pixels(photos.encoded(image, "PNG", transparency=0)).min() == 255


def test_an_animated_gif_gives_its_first_frame():
    mean = pixels(photos.animated_gif()).reshape(-1, 3).mean(0)
    assert mean[0] > 250
    assert mean[2] < 5


def test_webp_is_read():
    pixels(photos.encoded(photos.gradient(), "WEBP"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_photo_upright(orientation):
    upright = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }[orientation]
    image = photos.gradient(64, 48)
    expected = image if upright is None else image.transpose(upright)
    exact = pixels(photos.encoded(expected, "PNG")).astype(float)
    assert np.abs(pixels(photos.turned_jpeg(orientation)).astype(float) - exact).mean() < 6


def test_damaged_exif_does_not_make_a_photo_unusable():
    data = photos.encoded(photos.gradient(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    pixels(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "got 0 bytes; send a JPEG"),
        (b"this is not a photo", "19 bytes that are not a photo in a known format; send a JPEG"),
        (b"data:image/png,rawdata", "a data URL without `;base64,`; send `data:image/jpeg;base64,...`"),
        (b"data:image/png;base64,@@@@", "the data URL's base64 is damaged"),
        (b"data:image/png;base64,", "got 0 bytes"),
        (photos.truncated_jpeg(), "the JPEG data is damaged or cut short"),
        (photos.encoded(Image.new("RGB", (1, 1))), "1 x 1 pixels, each side must be at least 8"),
        (photos.huge_png(), "20000 x 20000 is 400,000,000 pixels, the limit is 50,000,000; scale it down"),
        (b"\xff" * (limits.MAX_IMAGE_BYTES + 1), "20,971,521 bytes, the limit is 20,971,520"),
        (photos.encoded(Image.new("F", (32, 32)), "TIFF"), "32-bit floating-point samples; save it with 8 or 16"),
    ],
)
def test_bad_photos_say_what_to_do(data, words):
    with pytest.raises(InvalidRequestError, match="image: ") as caught:
        PREPROCESSOR.pixels(data)
    assert words in str(caught.value)


def test_a_bad_photo_does_not_harm_its_neighbours():
    rows = PREPROCESSOR.preprocess([photos.jpeg(), b"junk", photos.jpeg()])
    assert isinstance(rows[1], InvalidRequestError)
    assert np.array_equal(rows[0], rows[2])


def test_one_thread_and_several_give_the_same_pixels():
    rows = [photos.jpeg(60 + n, 50) for n in range(8)]
    alone = ImagePreprocessor(encoder_spec(), threads=1)
    together = ImagePreprocessor(encoder_spec(), threads=3)
    for one, other in zip(alone.preprocess(rows), together.preprocess(rows), strict=True):
        assert np.array_equal(one, other)
    alone.close()
    together.close()


@pytest.mark.parametrize("seed", range(200))
def test_damaged_files_of_any_kind_never_raise_anything_else(seed):
    """Bytes changed and cut at random positions: the answer is pixels or the one error."""
    rng = np.random.default_rng(seed)
    made = [
        photos.jpeg(200, 100),
        photos.animated_gif(),
        photos.png_16_bit(),
        photos.encoded(photos.gradient(), "WEBP"),
        photos.encoded(photos.gradient(), "TIFF"),
        photos.encoded(photos.gradient(), "BMP"),
        photos.turned_jpeg(6),
    ]
    data = bytearray(made[seed % len(made)])
    for place in rng.integers(0, len(data), 6):
        data[place] = int(rng.integers(0, 256))
    try:
        result = PREPROCESSOR.pixels(bytes(data[: rng.integers(len(data) // 2, len(data) + 1)]))
    except InvalidRequestError:
        return
    assert result.shape == (32, 32, 3)


def test_a_data_url_is_the_photo_it_holds():
    data = photos.jpeg()
    url = b"data:image/jpeg;base64," + base64.b64encode(data)
    assert np.array_equal(pixels(url), pixels(data))


def test_the_limit_is_read_from_the_header_before_decoding():
    opened = Image.open(io.BytesIO(photos.huge_png()))
    assert opened.size == (20_000, 20_000)
