"""Samples of every kind become sRGB: scaled, keyed, over white, and through the profile that a photo carries."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing import colours
from product_match.preprocessing.images import ImagePreprocessor
from tests.fakes import photos
from tests.fakes.encoders import encoder_spec
from tests.fakes.profiles import ADOBE_RGB, CMYK, DISPLAY_P3, GREY, PROPHOTO, SRGB


@pytest.fixture(scope="module")
def preprocessor():
    made = ImagePreprocessor(encoder_spec())
    yield made
    made.close()


def mean(pixels):
    return pixels.reshape(-1, 3).mean(0)


def flat(preprocessor, data):
    """The one colour that a photo is filled with."""
    pixels = preprocessor.pixels(data)
    assert np.ptp(pixels.reshape(-1, 3).astype(int), axis=0).max() <= 2
    return pixels[16, 16].astype(int).tolist()


# 16 bits a sample.


def grey_png(depth, value, *chunks, size=16):
    row = b"\0" + (struct.pack(">H", value) * size if depth == 16 else bytes([value]) * (size * depth // 8))
    return photos.png(size, size, depth, 0, row * size, *chunks)


def rgb16_png(value, *chunks, size=16):
    return photos.png(size, size, 16, 2, (b"\0" + struct.pack(">3H", *value) * size) * size, *chunks)


@pytest.mark.parametrize("value", [0, 255, 256, 12_800, 65_535])
def test_16_bit_grey_is_scaled(preprocessor, value):
    assert flat(preprocessor, grey_png(16, value)) == [value >> 8] * 3


@pytest.mark.parametrize("key", [5, 300, 40_000])
def test_the_colour_key_of_16_bit_grey_is_white_and_its_neighbours_are_not(preprocessor, key):
    transparent = photos.chunk(b"tRNS", struct.pack(">H", key))
    assert flat(preprocessor, grey_png(16, key, transparent)) == [255] * 3
    assert flat(preprocessor, grey_png(16, key + 1, transparent)) == [(key + 1) >> 8] * 3


@pytest.mark.parametrize("key", [(5, 5, 5), (300, 40_000, 7)])
def test_the_colour_key_of_16_bit_rgb_is_told_by_all_its_bits(preprocessor, key):
    transparent = photos.chunk(b"tRNS", struct.pack(">3H", *key))
    assert flat(preprocessor, rgb16_png(key, transparent)) == [255] * 3
    beside = (key[0], key[1], key[2] + 1)
    assert flat(preprocessor, rgb16_png(beside, transparent)) == [value >> 8 for value in beside]


@pytest.mark.parametrize(
    ("depth", "value", "byte"), [(1, 1, 0xFF), (1, 0, 0), (2, 2, 0xAA), (4, 9, 0x99), (8, 77, 77)]
)
def test_the_colour_key_of_few_bits_is_white(preprocessor, depth, value, byte):
    shown = value * 255 // (2**depth - 1)
    other = photos.chunk(b"tRNS", struct.pack(">H", value ^ 1))
    assert flat(preprocessor, grey_png(depth, byte, photos.chunk(b"tRNS", struct.pack(">H", value)))) == [255] * 3
    assert flat(preprocessor, grey_png(depth, byte, other)) == [shown] * 3
    assert flat(preprocessor, grey_png(depth, byte, photos.chunk(b"tRNS", b"\0"))) == [shown] * 3


def test_the_colour_key_of_8_bit_rgb_is_white(preprocessor):
    rows = (b"\0" + bytes((9, 20, 30)) * 16) * 16
    key = photos.chunk(b"tRNS", struct.pack(">3H", 9, 20, 30))
    assert flat(preprocessor, photos.png(16, 16, 8, 2, rows, key)) == [255] * 3
    assert flat(preprocessor, photos.png(16, 16, 8, 2, rows)) == [9, 20, 30]


def test_a_large_photo_is_keyed_row_by_row(preprocessor):
    """Larger than a band, with another colour in each row."""
    levels = np.repeat(np.arange(1200, dtype=np.uint16)[:, None], 1200, 1) * 50
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    found = preprocessor.pixels(photos.png(1200, 1200, 16, 0, rows, photos.chunk(b"tRNS", struct.pack(">H", 30_000))))
    plain = preprocessor.pixels(photos.png(1200, 1200, 16, 0, rows))
    assert np.abs(found.astype(int) - plain).max() <= 8
    assert np.abs(found[:14].astype(int) - plain[:14]).max() == 0


def tiff(samples, photometric=1, order="<", bits=None, **tags):
    """A TIFF of one strip, made of an array [H, W] or [H, W, n]; `tags` by number as `t339=...`."""
    array = np.atleast_3d(samples)
    height, width, count = array.shape
    size = array.dtype.itemsize * 8 if bits is None else bits
    body = array.astype(array.dtype.newbyteorder(order)).tobytes() if bits is None else pack_12(array[..., 0])
    entries = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [size] * count),
        259: (3, [1]),
        262: (3, [photometric]),
    }
    entries |= {277: (3, [count]), 278: (4, [height]), 279: (4, [len(body)])}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    start = 8 + len(body)
    extra = start + 2 + 12 * (len(entries) + 1) + 4
    entries[273] = (4, [8])
    directory, values = b"", b""
    for tag, (kind, numbers) in sorted(entries.items()):
        packed = struct.pack(order + str(len(numbers)) + {3: "H", 4: "I"}[kind], *numbers)
        if len(packed) > 4:
            place, values = extra + len(values), values + packed
            packed = struct.pack(order + "I", place)
        directory += struct.pack(order + "HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(order + "I", start) + body + struct.pack(order + "H", len(entries))
    return head + directory + bytes(4) + values


def pack_12(samples):
    """Two samples of 12 bits in three bytes."""
    flat = samples.reshape(-1, 2).astype(np.uint32)
    joined = flat[:, 0] << 12 | flat[:, 1]
    return np.stack([joined >> 16, joined >> 8 & 255, joined & 255], -1).astype(np.uint8).tobytes()


def full(value, dtype=np.uint16, samples=None):
    return np.full((16, 16) if samples is None else (16, 16, samples), value, dtype)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiffs_of_both_byte_orders_are_scaled(preprocessor, order):
    assert flat(preprocessor, tiff(full(51_200), order=order)) == [200] * 3
    assert flat(preprocessor, tiff(full(51_200, samples=3), 2, order)) == [200] * 3


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_white_is_zero_is_turned_about(preprocessor, order):
    assert flat(preprocessor, tiff(full(0), 0, order)) == [255] * 3
    assert flat(preprocessor, tiff(full(51_200), 0, order)) == [55] * 3


def test_8_bit_white_is_zero_is_turned_about_once(preprocessor):
    assert flat(preprocessor, tiff(full(200, np.uint8), 0)) == [55] * 3
    image = Image.new("L", (16, 16), 200)
    packed = photos.encoded(image, "TIFF", compression="tiff_lzw", tiffinfo={262: 0})
    assert flat(preprocessor, packed) in ([55] * 3, [200] * 3)


def test_12_bit_tiffs_are_scaled(preprocessor):
    assert flat(preprocessor, tiff(full(3200), bits=12)) == [200] * 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(full(7, np.uint32)), "image: 32-bit integer samples; save it with 8 or 16 bits a sample"),
        (tiff(full(7, np.int32), t339=(3, [2])), "image: 32-bit integer samples; save it with 8 or 16"),
        (tiff(full(7, np.int16), t339=(3, [2])), "image: samples with a sign; save it with unsigned samples"),
        (tiff(full(7, np.uint8), t339=(3, [2])), "image: samples with a sign; save it with unsigned samples"),
        (tiff(full(0.5, np.float32), t339=(3, [3])), "image: 32-bit floating-point samples; save it with 8 or 16"),
        (tiff(full(7, np.uint8, 3), 8), "image: a TIFF in L*a*b* colours, which are not read; save it as RGB"),
        (
            tiff(full(7, np.uint8), 32_803),
            "the TIFF data is damaged or cut short (its header makes no sense, or is of",
        ),
    ],
)
def test_samples_that_cannot_be_scaled_are_refused(preprocessor, data, words):
    with pytest.raises(InvalidRequestError) as caught:
        preprocessor.pixels(data)
    assert words in str(caught.value)


def test_a_mode_that_no_format_gives_is_refused_too():
    header = type("Header", (), {"frame": None, "key": (), "depth": 16, "inverted": False})()
    with pytest.raises(
        InvalidRequestError, match="image: samples of kind I; save it with 8 or 16 bits a sample, as RGB"
    ):
        colours.preparation(Image.new("I", (8, 8)), header)


# Transparency.


def test_clear_pixels_are_white_in_every_mode(preprocessor):
    half = np.zeros((32, 32, 4), np.uint8)
    half[..., 0], half[..., 3] = 200, 128
    rgba = Image.fromarray(half, "RGBA")
    expected = [227, 127, 127]
    for kind, options in {"PNG": {}, "WEBP": {"lossless": True, "exact": True}, "TIFF": {}}.items():
        found = flat(preprocessor, photos.encoded(rgba, kind, **options))
        assert np.abs(np.subtract(found, expected)).max() <= 1, kind
    grey = Image.fromarray(half[..., [0, 3]], "LA")
    assert flat(preprocessor, photos.encoded(grey, "PNG"))[0] in (226, 227)
    assert flat(preprocessor, photos.encoded(grey, "TIFF"))[0] in (226, 227)
    palette = Image.new("P", (32, 32), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    found = flat(preprocessor, photos.encoded(palette, "PNG", transparency=b"\xff\x80"))
    assert np.abs(np.subtract(found, expected)).max() <= 1
    assert flat(preprocessor, photos.encoded(palette, "GIF", transparency=1)) == [255] * 3
    avif = photos.encoded(rgba, "AVIF", quality=95, speed=10)
    assert np.abs(np.subtract(flat(preprocessor, avif), expected)).max() <= 4


def test_premultiplied_samples_are_taken_apart(preprocessor):
    associated = np.zeros((16, 16, 4), np.uint8)
    associated[..., 0], associated[..., 3] = 100, 128
    found = flat(preprocessor, tiff(associated, 2, t338=(3, [1])))
    assert np.abs(np.subtract(found, [227, 127, 127])).max() <= 1
    grey = np.zeros((16, 16, 2), np.uint8)
    grey[..., 0], grey[..., 1] = 100, 128
    assert flat(preprocessor, tiff(grey, 1, t338=(3, [1])))[0] in (226, 227)


def test_a_palette_with_alpha_in_a_tiff_is_over_white(preprocessor):
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image = image.convert("PA")
    assert flat(preprocessor, photos.encoded(image, "TIFF")) == [200, 0, 0]


def test_around_a_small_first_picture_of_a_gif_is_white(preprocessor):
    data = bytearray(photos.encoded(Image.new("P", (16, 16), 0), "GIF"))
    data[6:10] = struct.pack("<HH", 32, 32)
    found = preprocessor.pixels(bytes(data))
    assert found[4, 4].tolist() == [0, 0, 0]
    assert found[24, 24].tolist() == [255, 255, 255]


# Profiles.


def in_space(image, profile, mode="RGB"):
    """A picture in sRGB as its twin in another space."""
    source, target = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile))
    made = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    # Otherwise Pillow would write it into every file.
    del made.info["icc_profile"]
    return made


def scene():
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), "RGB")
    return small.resize((96, 96), Image.Resampling.BICUBIC)


def cosine(one, other):
    one, other = one.astype(float).ravel() - 127.5, other.astype(float).ravel() - 127.5
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


OPTIONS = {
    "JPEG": {"quality": 97, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 95, "speed": 9, "subsampling": "4:4:4"},
}


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("profile", [DISPLAY_P3, ADOBE_RGB, PROPHOTO], ids=["display-p3", "adobe-rgb", "prophoto"])
def test_a_photo_in_another_space_is_its_srgb_twin(preprocessor, kind, profile):
    image = scene()
    expected = preprocessor.pixels(photos.encoded(image, "PNG"))
    data = photos.encoded(in_space(image, profile), kind, icc_profile=profile, **OPTIONS[kind])
    assert cosine(preprocessor.pixels(data), expected) >= 0.999
    stripped = photos.encoded(in_space(image, profile), kind, **OPTIONS[kind])
    assert cosine(preprocessor.pixels(stripped), expected) < cosine(preprocessor.pixels(data), expected)


def test_a_cmyk_jpeg_goes_through_its_profile(preprocessor):
    image = scene()
    data = photos.encoded(in_space(image, CMYK, "CMYK"), "JPEG", quality=97, subsampling=0, icc_profile=CMYK)
    expected = preprocessor.pixels(photos.encoded(image, "PNG"))
    assert cosine(preprocessor.pixels(data), expected) >= 0.99


@pytest.mark.parametrize("marked", [True, False])
def test_a_cmyk_jpeg_without_a_profile_keeps_its_colours_with_adobes_marker_and_without(preprocessor, marked):
    data = photos.encoded(Image.new("RGB", (64, 64), (200, 30, 30)).convert("CMYK"), "JPEG", quality=95)
    place = data.index(b"\xff\xee")
    if not marked:
        data = data[:place] + data[place + 16 :]
    red, green, blue = flat(preprocessor, data)
    assert (abs(red - 200), abs(green - 30), abs(blue - 30)) < (6, 6, 6)


def test_a_ycck_jpeg_is_read(preprocessor):
    """Adobe's marker says so: the same bytes, taken for luminance and colour differences."""
    data = bytearray(photos.encoded(Image.new("CMYK", (64, 64), (0, 127, 127, 0)), "JPEG", quality=95))
    data[data.index(b"Adobe") + 11] = 2
    expected = np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))[0, 0].astype(int)
    assert np.abs(np.subtract(flat(preprocessor, bytes(data)), expected)).max() <= 2


def test_a_cmyk_tiff_is_read(preprocessor):
    found = flat(preprocessor, tiff(np.tile(np.asarray([0, 200, 200, 0], np.uint8), (16, 16, 1)), 5))
    assert found[0] > 240 > 80 > found[1]


def test_a_grey_profile_is_applied(preprocessor):
    """A linear grey of 55 is an sRGB grey of about 128."""
    found = flat(preprocessor, photos.encoded(Image.new("L", (32, 32), 55), "PNG", icc_profile=GREY))
    assert 122 <= found[0] <= 134
    jpeg = photos.encoded(Image.new("L", (32, 32), 55), "JPEG", quality=95, icc_profile=GREY)
    assert 118 <= flat(preprocessor, jpeg)[0] <= 138


def test_srgbs_own_profile_changes_nothing(preprocessor):
    image = scene()
    plain = preprocessor.pixels(photos.encoded(image, "PNG"))
    assert np.array_equal(preprocessor.pixels(photos.encoded(image, "PNG", icc_profile=SRGB)), plain)


BROKEN = {
    "empty": b"x",
    "cut": DISPLAY_P3[:200],
    "of another space": CMYK,
    "noise": bytes(range(256)) * 3,
    "too large": DISPLAY_P3 + bytes(limits.MAX_PROFILE_BYTES),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_profile_that_is_damaged_or_does_not_fit_counts_for_nothing(preprocessor, kind, name):
    image = scene()
    plain = preprocessor.pixels(photos.encoded(image, kind, **OPTIONS[kind]))
    data = photos.encoded(image, kind, icc_profile=BROKEN[name], **OPTIONS[kind])
    assert np.array_equal(preprocessor.pixels(data), plain)


def test_a_jpegs_profile_in_several_parts_is_joined_and_one_with_a_gap_is_none(preprocessor):
    image = scene()
    data = photos.encoded(in_space(image, PROPHOTO), "JPEG", quality=95, icc_profile=PROPHOTO)
    place = data.index(b"\xff\xe2")
    head, body = data[:place], PROPHOTO
    after = data[place + 2 + int.from_bytes(data[place + 2 : place + 4], "big") :]

    def part(number, count, content):
        segment = b"ICC_PROFILE\0" + bytes([number, count]) + content
        return b"\xff\xe2" + struct.pack(">H", 2 + len(segment)) + segment

    two = head + part(2, 2, body[300:]) + part(1, 2, body[:300]) + after
    assert np.array_equal(preprocessor.pixels(two), preprocessor.pixels(data))
    plain = preprocessor.pixels(head + after)
    for broken in (part(2, 2, body), part(1, 2, body), b"\xff\xe2\0\x0eICC_PROFILE\0"):
        assert np.array_equal(preprocessor.pixels(head + broken + after), plain)


def test_the_last_few_conversions_are_kept_and_no_more():
    profiles = colours.Profiles()
    image = Image.new("RGB", (8, 8), (200, 30, 30))
    made = [DISPLAY_P3 + bytes(number) for number in range(20)]
    for profile in made:
        profiles.to_srgb(image, profile)
    assert len(profiles._known) == 16
    assert profiles.to_srgb(image, DISPLAY_P3).getpixel((0, 0)) != (200, 30, 30)


def test_tags_of_pillows_own_tiffs_fit_what_is_written_here():
    image = Image.open(io.BytesIO(tiff(full(51_200))))
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    assert image.mode == "I;16"
