"""A photo whose pixels are not all there is refused by its format's name; damage elsewhere does not matter."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, TiffTags

from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing.images import ImagePreprocessor
from tests.fakes import bombs, photos
from tests.fakes.encoders import encoder_spec
from tests.unit.test_photo_cases import case


@pytest.fixture(scope="module")
def preprocessor():
    made = ImagePreprocessor(encoder_spec())
    yield made
    made.close()


def refusal(preprocessor, data):
    with pytest.raises(InvalidRequestError) as caught:
        preprocessor.pixels(data)
    return str(caught.value)


NOISE = Image.effect_noise((64, 48), 80).convert("RGB")
WHOLE = {
    "JPEG": photos.encoded(NOISE, "JPEG", quality=80),
    "JPEG progressive": photos.encoded(NOISE, "JPEG", quality=80, progressive=True),
    "JPEG CMYK": photos.encoded(NOISE.convert("CMYK"), "JPEG", quality=80),
    "PNG": photos.encoded(NOISE, "PNG"),
    "PNG palette": photos.encoded(NOISE.convert("P"), "PNG"),
    "GIF": photos.encoded(NOISE.convert("P"), "GIF"),
    "GIF interlaced": photos.encoded(NOISE.convert("P"), "GIF", interlace=True),
    "BMP": photos.encoded(NOISE, "BMP"),
    "WEBP": photos.encoded(NOISE, "WEBP", quality=80),
    "WEBP lossless": photos.encoded(NOISE, "WEBP", lossless=True),
    "TIFF": photos.encoded(NOISE, "TIFF"),
    "TIFF LZW": photos.encoded(NOISE, "TIFF", compression="tiff_lzw"),
    "TIFF deflate": photos.encoded(NOISE, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF JPEG": photos.encoded(NOISE, "TIFF", compression="jpeg"),
    "AVIF": photos.encoded(NOISE, "AVIF", quality=60, speed=10),
    "HEIC": case("plain.heic"),
}


@pytest.mark.parametrize("percent", [15, 40, 60, 80, 95])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_is_cut_short_is_refused_by_its_format(preprocessor, kind, percent):
    data = WHOLE[kind]
    preprocessor.pixels(data)
    name = kind.split()[0]
    words = refusal(preprocessor, data[: len(data) * percent // 100])
    assert words.startswith(f"image: the {name} data is damaged or cut short (")
    assert words.endswith("); send the whole file again")


@pytest.mark.parametrize("missing", [1, 2, 3])
@pytest.mark.parametrize("kind", ["JPEG", "JPEG progressive", "PNG", "WEBP", "BMP", "GIF"])
def test_the_last_bytes_count(preprocessor, kind, missing):
    """Of a GIF its last byte says no more than that it ends."""
    data = WHOLE[kind][: -missing - (kind == "GIF")]
    assert "is damaged or cut short" in refusal(preprocessor, data)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG progressive", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "HEIC"])
def test_bytes_after_the_end_do_not_matter(preprocessor, kind):
    assert np.array_equal(preprocessor.pixels(WHOLE[kind] + b"trailing bytes"), preprocessor.pixels(WHOLE[kind]))


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_with_missing_data_and_an_end_is_refused(preprocessor, kept, progressive):
    data = photos.encoded(NOISE, "JPEG", quality=80, progressive=progressive)
    start = data.index(b"\xff\xda")
    cut = data[: start + int((len(data) - start) * kept)].rstrip(b"\xff") + b"\xff\xd9"
    assert "the JPEG data is damaged or cut short (" in refusal(preprocessor, cut)


def test_libjpegs_warnings_are_told(preprocessor):
    data = WHOLE["JPEG"]
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    assert "Corrupt JPEG data" in refusal(preprocessor, data[:middle] + b"\xff\xd3" + data[middle:])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xd8", "it ends in front of its first scan"),
        (b"\xff\xd8\xff\xd9", "it ends in front of its first scan"),
        (b"\xff\xd8\x00\x00", "no marker at byte 2"),
        (b"\xff\xd8\xff\xe0\xff\xff", "the segment at byte 2 is not whole"),
        (b"\xff\xd8\xff\xe0\x00\x01", "the segment at byte 2 is not whole"),
        (b"\xff\xd8\xff\xda", "no frame header"),
        (b"\xff\xd8" + 2 * (b"\xff\xc0\x00\x08\x08\x00\x40\x00\x40\x03"), "two frame headers"),
    ],
)
def test_a_jpeg_without_a_picture_is_refused(preprocessor, data, words):
    assert f"the JPEG data is damaged or cut short ({words})" in refusal(preprocessor, data)


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (0xC0, b"\x0c\x00\x40\x00\x40\x03", "a JPEG of 12 bits a sample, which is not read; save it with 8 bits"),
        (0xC3, b"\x08\x00\x40\x00\x40\x03", "a lossless, hierarchical or arithmetic-coded JPEG"),
        (0xC9, b"\x08\x00\x40\x00\x40\x03", "a lossless, hierarchical or arithmetic-coded JPEG"),
        (0xC0, b"\x08\x00\x40\x00\x40\x02", "a JPEG of 2 components, which is not read; save it as RGB"),
        (0xC0, b"\x08\x00\x00\x00\x40\x03", "64 x 0 pixels, each side must be at least 8"),
    ],
)
def test_a_jpeg_of_a_kind_that_is_not_read_is_named(preprocessor, kind, body, words):
    frame = bytes([0xFF, kind]) + struct.pack(">H", 2 + len(body)) + body
    assert words in refusal(preprocessor, b"\xff\xd8" + frame + b"\xff\xda\0\x0c")


def test_bytes_that_fill_up_between_segments_do_not_matter(preprocessor):
    data = WHOLE["JPEG"]
    assert np.array_equal(preprocessor.pixels(data[:2] + b"\xff" * 70_000 + data[2:]), preprocessor.pixels(data))


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xe2\0\x14ICC_PROFILE\0\2\3abcd",
        b"\xff\xe0\0\x10JFIF\0\7\1\0\0\1\0\1\0\0",
        b"\xff\xe1\0\x0aExif\0\0xx",
        b"\xff\xfe\0\4\xff\xd8",
    ],
)
def test_damaged_segments_that_hold_no_pixels_do_not_matter(preprocessor, segment):
    data = WHOLE["JPEG"]
    found = preprocessor.pixels(data[:2] + segment + data[2:])
    assert np.array_equal(found, preprocessor.pixels(data))
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    damaged = data[:2] + segment + data[2:middle] + b"\xff\xd9"
    assert "the JPEG data is damaged or cut short" in refusal(preprocessor, damaged)


def chunks_of(png):
    place = 8
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def rebuilt(png, change):
    """The PNG with each chunk (kind, body) as `change` returns it; None leaves it out."""
    kept = (change(kind, body) for kind, body in chunks_of(png))
    return png[:8] + b"".join(photos.chunk(*part) for part in kept if part is not None)


def swapped(wanted, body):
    return lambda kind, own: (kind, body) if kind == wanted else (kind, own)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_wrong_checksum_of_what_pixels_come_from_is_damage(preprocessor, kind):
    data = bytearray(WHOLE["PNG palette"])
    place = data.index(kind) + 4
    data[place + 1] ^= 1
    assert f"wrong checksum of {kind.decode()}" in refusal(preprocessor, bytes(data))


def test_a_wrong_checksum_of_the_transparency_is_damage(preprocessor):
    data = bytearray(photos.encoded(NOISE.convert("P"), "PNG", transparency=b"\0\xff"))
    data[data.index(b"tRNS") + 4] ^= 1
    assert "wrong checksum of tRNS" in refusal(preprocessor, bytes(data))


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"iCCP", b"gAMA", b"prVt", b"acTL"])
def test_metadata_may_be_damaged_in_any_way(preprocessor, kind):
    data = WHOLE["PNG"]
    wrong_checksum = struct.pack(">I", 5) + kind + b"a\0b\xff\0" + b"\0\0\0\0"
    nonsense = photos.chunk(kind, b"\xff" * 40)
    packed_nonsense = photos.chunk(kind, b"Raw profile type exif\0\0" + zlib.compress(bytes(50_000_000)))
    for chunk in (wrong_checksum, nonsense, packed_nonsense):
        assert np.array_equal(preprocessor.pixels(data[:33] + chunk + data[33:]), preprocessor.pixels(data))


def raw_rows(width, height, value, bytes_a_pixel=3):
    return (b"\0" + bytes([value]) * (width * bytes_a_pixel)) * height


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("rows", [0, 10, 47])
def test_a_png_of_too_few_rows_is_refused(preprocessor, rows, interlaced):
    data = photos.png(64, 48, 8, 2, raw_rows(64, rows, 0), interlaced=interlaced)
    words = refusal(preprocessor, data)
    assert "the PNG data is damaged or cut short (" in words
    assert "rows are missing" in words or "image file is truncated" in words


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_whole_png_may_be_black(preprocessor, interlaced):
    rows = raw_rows(64, 48, 0) + bytes(8 * 48)
    assert preprocessor.pixels(photos.png(64, 48, 8, 2, rows, interlaced=interlaced)).max() == 0


@pytest.mark.parametrize(("depth", "colours"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 4), (16, 4), (16, 6)])
@pytest.mark.parametrize("size", [(9, 8), (61, 47)])
def test_interlaced_pngs_of_all_depths_are_found_whole(preprocessor, depth, colours, size):
    """All zeros in exactly the bytes that the seven passes need, and one less."""
    samples = {0: 1, 4: 2, 6: 4}[colours]
    needed = 0
    for left, top, x, y in [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ]:  # fmt: skip
        columns, rows = len(range(left, size[0], x)), len(range(top, size[1], y))
        needed += rows * (1 + (columns * depth * samples + 7) // 8) if columns else 0
    preprocessor.pixels(photos.png(*size, depth, colours, bytes(needed), interlaced=1))
    words = refusal(preprocessor, photos.png(*size, depth, colours, bytes(needed - 1), interlaced=1))
    assert "the PNG data is damaged or cut short" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda kind, body: None if kind == b"IDAT" else (kind, body), "no pixels"),
        (lambda kind, body: None if kind == b"IEND" else (kind, body), "it ends in front of its last chunk"),
        (lambda kind, body: None if kind == b"IHDR" else (kind, body), "it does not start with its header"),
        (swapped(b"IHDR", bytes(12)), "no header"),
        (swapped(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 3, 2, 0, 0, 0)), "a header with values that no PNG has"),
        (swapped(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 5, 0, 0, 0)), "a header with values that no PNG has"),
        (swapped(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 2)), "a header with values that no PNG has"),
        (swapped(b"IDAT", zlib.compress(b"\0" * 9000)[:-6]), "image file is truncated"),
        (lambda kind, body: (b"CgBI" if kind == b"IHDR" else kind, body), "unknown chunk b'CgBI' at byte 8"),
    ],
)
def test_a_png_without_what_it_needs_is_refused(preprocessor, change, words):
    words_found = refusal(preprocessor, rebuilt(WHOLE["PNG"], change))
    assert f"the PNG data is damaged or cut short ({words}" in words_found


@pytest.mark.parametrize("palette", [b"\1\2", bytes(771)])
def test_a_palette_of_a_strange_length_is_refused(preprocessor, palette):
    data = rebuilt(WHOLE["PNG palette"], swapped(b"PLTE", palette))
    assert f"a palette of {len(palette)} bytes" in refusal(preprocessor, data)


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("colours", [2, 64])
def test_a_gif_whose_picture_ends_early_is_refused(preprocessor, interlace, colours):
    """The blocks are whole and the data in them ends: what is missing would be the first colour."""
    image = NOISE.convert("P", colors=colours)
    data = photos.encoded(image, "GIF", interlace=interlace)
    short = photos.encoded(image.crop((0, 0, 64, 24)), "GIF", interlace=interlace)
    place = short.index(b",\0\0\0\0") + 7
    cut = short[:place] + struct.pack("<H", 48) + short[place + 2 :]
    cut = cut[:8] + struct.pack("<H", 48) + cut[10:]
    preprocessor.pixels(data)
    assert "the GIF data is damaged or cut short (image file is truncated" in refusal(preprocessor, cut)


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("transparency", [None, 0])
def test_a_whole_gif_may_be_of_one_colour(preprocessor, interlace, transparency):
    image = Image.new("P", (64, 48), 0)
    image.putpalette([10, 20, 30, 255, 255, 255])
    options = {} if transparency is None else {"transparency": transparency}
    found = preprocessor.pixels(photos.encoded(image, "GIF", interlace=interlace, **options))
    assert found[0, 0].tolist() == ([10, 20, 30] if transparency is None else [255, 255, 255])


def test_what_follows_the_first_picture_of_a_gif_does_not_matter(preprocessor):
    data = photos.animated_gif()
    second = data.rindex(b"\x2c")
    assert np.array_equal(preprocessor.pixels(data[: second + 12]), preprocessor.pixels(data))
    comment = b"!\xfe" + b"\1x" * 50_000 + b"\0"
    screen = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    assert np.array_equal(preprocessor.pixels(data[:screen] + comment + data[screen:]), preprocessor.pixels(data))


def test_a_gif_without_a_picture_is_refused(preprocessor):
    assert "no picture at byte 13" in refusal(preprocessor, b"GIF89a\x40\0\x40\0\0\0\0;")
    assert "it ends in front of the end of its first picture" in refusal(preprocessor, b"GIF89a\x40\0")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (14, b"\x10\0\0\0", "a header of 16 bytes"),
        (28, b"\x07\0", "7 bits a pixel, 64 pixels wide"),
        (18, b"\xff\xff\xff\xff", "24 bits a pixel, -1 pixels wide"),
        (30, b"\x04\0\0\0", "a BMP packed in way 4, which is not read; save it as PNG"),
        (22, b"\x31\0\0\0", "the BMP data is damaged or cut short (rows are missing)"),
    ],
)
def test_a_bmp_with_a_strange_header_is_refused(preprocessor, place, value, words):
    data = bytearray(WHOLE["BMP"])
    data[place : place + len(value)] = value
    assert words in refusal(preprocessor, bytes(data))
    assert "it ends in its header" in refusal(preprocessor, bytes(data[:12]))


def test_an_old_bmp_and_one_from_top_to_bottom_are_read(preprocessor):
    rows = b"".join(bytes([n * 4, 10, 200]) * 16 for n in range(48))
    old = b"BM" + struct.pack("<IHHI", 26 + len(rows), 0, 0, 26) + struct.pack("<IHHHH", 12, 16, 48, 1, 24) + rows
    found = preprocessor.pixels(old)
    assert found[0, 0, 2] > found[-1, 0, 2]
    data = bytearray(WHOLE["BMP"])
    data[22:26] = struct.pack("<i", -48)
    assert np.array_equal(preprocessor.pixels(bytes(data))[::-1], preprocessor.pixels(WHOLE["BMP"]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"RIFF\x04\0\0\0WEBP", "no picture"),
        (b"RIFF\xff\0\0\0WEBP", "12 of 263 bytes"),
        (b"RIFF\x14\0\0\0WEBPVP8 \xff\0\0\0" + bytes(8), "the chunk at byte 12 is not whole"),
        (b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0" + bytes(10), "a VP8 chunk without a size"),
    ],
)
def test_a_webp_without_a_picture_is_refused(preprocessor, data, words):
    assert f"the WEBP data is damaged or cut short ({words})" in refusal(preprocessor, data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x14ftypavif\0\0\0\0avif", "no size"),
        (b"\0\0\0\x14ftypavif\0\0\0\0avif\0\0\xff\xffmeta", "the box at byte 20 is not whole"),
        (b"\0\0\0\x14ftypavif\0\0\0\0avif\0\0\0\1meta\0\0\0\0\0\0\xff\xff", "the box at byte 20 is not whole"),
        (b"\0\0\0\x14ftypavif\0\0\0\0avif\0\0\0\3mdat", "the box at byte 20 is not whole"),
    ],
)
def test_an_avif_without_a_picture_is_refused(preprocessor, data, words):
    assert f"the AVIF data is damaged or cut short ({words})" in refusal(preprocessor, data)


def tiff_tags(data):
    """Where each tag of a little-endian TIFF is."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    return {struct.unpack_from("<H", data, place)[0]: place for place in range(start + 2, start + 2 + 12 * count, 12)}


def with_tag(data, tag, kind, values, value):
    changed = bytearray(data)
    struct.pack_into("<HHII", changed, tiff_tags(data)[tag], tag, kind, values, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("tag", "kind", "values", "value", "words"),
    [
        (273, 4, 1, 2**31, "a strip or tile at byte 2,147,483,648 is not whole"),
        (273, 4, 0, 0, "0 of 1 strips or tiles"),
        (259, 3, 1, 34_887, "a TIFF packed in way 34887, which is not read; save it with LZW or ZIP, or as PNG"),
        (277, 3, 1, 9, "a TIFF of 9 samples a pixel, which is not read; save it as RGB"),
        (262, 3, 1, 8, "a TIFF in L*a*b* colours, which are not read; save it as RGB"),
        (256, 4, 1, 2**31, "pixels, the limit is 50,000,000"),
        (256, 2, 1, 64, "0 x 48 pixels, each side must be at least 8"),
        (258, 3, 5000, 8, "tag 258 points outside of the file"),
    ],
)
def test_a_tiff_with_strange_tags_is_refused(preprocessor, tag, kind, values, value, words):
    assert words in refusal(preprocessor, with_tag(WHOLE["TIFF"], tag, kind, values, value))


def test_a_tiff_that_ends_in_its_tags_is_refused(preprocessor):
    assert "a tag points outside of the file" in refusal(preprocessor, b"II*\0\xff\xff\0\0")
    assert "a tag points outside of the file" in refusal(preprocessor, b"II+\0\x08\0\0\0" + b"\xff" * 8)
    assert "strips or tiles without a length" in refusal(preprocessor, with_tag(WHOLE["TIFF LZW"], 279, 4, 0, 0))
    place = struct.unpack_from("<I", WHOLE["TIFF JPEG"], tiff_tags(WHOLE["TIFF JPEG"])[279] + 8)[0]
    assert "is not whole" in refusal(preprocessor, with_tag(WHOLE["TIFF JPEG"], 279, 4, 1, place - 20))


def test_further_pictures_and_metadata_of_a_tiff_do_not_matter(preprocessor):
    data = photos.encoded(NOISE, "TIFF", save_all=True, append_images=[NOISE.resize((900, 900))])
    assert np.array_equal(preprocessor.pixels(data), preprocessor.pixels(WHOLE["TIFF"]))
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700] = b"<x:xmpmeta/>" * 9
    tags.tagtype[700] = TiffTags.BYTE
    whole = photos.encoded(NOISE, "TIFF", tiffinfo=tags)
    for tag in (700, 34665):
        broken = bytearray(with_tag(whole, 700, 4, 1, 2**32 - 1))
        struct.pack_into("<H", broken, tiff_tags(whole)[700], tag)
        assert np.array_equal(preprocessor.pixels(bytes(broken)), preprocessor.pixels(whole))


def test_tiles_need_a_size(preprocessor):
    data = bombs.wide_tiff(64, 48, 8, t324=(4, 1, 8), t325=(4, 1, 100))
    assert "the TIFF data is damaged or cut short (tiles without a size)" in refusal(preprocessor, data)
