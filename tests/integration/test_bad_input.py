"""Whatever comes in: an answer or a message that says what to do, the neighbours served, the server up."""

from __future__ import annotations

import concurrent.futures
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image
from tritonclient.utils import InferenceServerException

from product_match.contract.options import ALL_OPTIONS
from tests.fakes import photos
from tests.integration.conftest import SAMPLE, sample_products

pytestmark = pytest.mark.triton

PRODUCT = sample_products()[1]
PHOTO = (SAMPLE / PRODUCT["image"]).read_bytes()
CASES = Path(__file__).parents[1] / "cases" / "photos"
KNOWN = ", ".join(sorted(option.name for option in ALL_OPTIONS))
NOTHING = {"image_bytes": [b""], "query_text": [b""]}


def case(name):
    return (CASES / name).read_bytes()


def good_photo(server):
    (row,) = server.infer("product_match_image", {"image_bytes": [PHOTO]}, top_k=1)
    assert row["matches"][0]["product_id"] == PRODUCT["id"]


def refused(server, model, tensors, **parameters):
    """Send a bad request among good ones, all at once; return its message."""

    def bad():
        with pytest.raises(InferenceServerException) as caught:
            server.infer(model, tensors, **parameters)
        return caught.value

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        neighbours = [pool.submit(good_photo, server) for _ in range(3)]
        error = pool.submit(bad)
        neighbours += [pool.submit(good_photo, server) for _ in range(3)]
        for neighbour in neighbours:
            neighbour.result()
        error = error.result()
    assert error.status() == "StatusCode.INVALID_ARGUMENT"
    with urllib.request.urlopen(f"http://{server.http}/v2/health/ready", timeout=5) as response:
        assert response.status == 200
    return error.message()


BAD_PHOTOS = {
    "not an image": (b"\x01\x02\x03 nothing", "not a photo in a known format; send a JPEG"),
    "a web page": (b"<html>not found</html>", "a web page (HTML), which is not read; send the bytes of the photo"),
    "a broken palette": (case("palette-without-plte.png"), "the PNG data is damaged or cut short (no palette)"),
    "a huge tile": (case("tile-24000.tiff"), "a TIFF with 1 tiles of 24000 x 24000, which are more than"),
    "too many scans": (case("scan-repeated-300-times.jpg"), "scans of 1,960,000 pixels, the limit is 100"),
    "missing rows": (case("rows-24-of-60.png"), "the PNG data is damaged or cut short (rows are missing)"),
    "a damaged tiff": (photos.encoded(photos.gradient(), "TIFF")[:900], "the TIFF data is damaged or cut short"),
    "truncated": (photos.truncated_jpeg(), "damaged or cut short"),
    "one pixel": (photos.encoded(Image.new("RGB", (1, 1))), "1 x 1 pixels, each side must be at least 8"),
    "too many pixels": (photos.huge_png(), "400,000,000 pixels, the limit is 50,000,000; scale it down"),
    "too many bytes": (b"\xff\xd8" + bytes(21_000_000), "21,000,002 bytes, the limit is 20,971,520"),
    "zero bytes": (b"", "no photo and no words came (0 bytes); send `image_bytes`"),
}


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_a_bad_photo_is_refused(server, name):
    data, words = BAD_PHOTOS[name]
    assert words in refused(server, "product_match_image", {"image_bytes": [data]})


UNUSUAL_PHOTOS = {
    "animated gif": photos.animated_gif(),
    "cmyk": photos.encoded(photos.gradient(mode="CMYK"), "JPEG"),
    "16-bit png": photos.png_16_bit(),
    "palette png": photos.encoded(photos.gradient(mode="P"), "PNG"),
    "turned by exif": photos.turned_jpeg(6),
    "webp": photos.encoded(photos.gradient(), "WEBP"),
    "avif": case("plain.avif"),
    "heic": case("plain.heic"),
    "turned tiff": case("orientation-6.tiff"),
}


@pytest.mark.parametrize("name", UNUSUAL_PHOTOS)
def test_an_unusual_photo_is_served(server, name):
    (row,) = server.infer("product_match_image", {"image_bytes": [UNUSUAL_PHOTOS[name]]}, top_k=2)
    assert len(row["matches"]) == 2


def test_a_photo_turned_by_exif_is_seen_upright(server):
    turned = Image.open(SAMPLE / PRODUCT["image"]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = photos.encoded(turned, "JPEG", quality=95, exif=exif.tobytes())
    (row,) = server.infer("product_match_image", {"image_bytes": [data]}, top_k=1)
    assert row["matches"][0]["product_id"] == PRODUCT["id"]


BAD_WORDS = {
    "empty": (b"", "no photo and no words came (0 bytes)"),
    "blank": (b"  \n ", "expected words, got an empty text"),
    "no letters": (b"?! %", "without a letter or digit; say what to look for"),
    "not utf-8": (b"caf\xe9", "not UTF-8 (byte 0xe9 at position 3); encode it as UTF-8"),
    "too long": (b"word " * 4000, "20,000 bytes, the limit is 16,384"),
}


@pytest.mark.parametrize("name", BAD_WORDS)
def test_bad_words_are_refused(server, name):
    data, words = BAD_WORDS[name]
    assert words in refused(server, "product_match_text", {"query_text": [data]})


def test_more_than_77_tokens_are_cut_not_refused(server):
    long = b"red leather jacket " * 60
    (row,) = server.infer("product_match_text", {"query_text": [long]}, top_k=3)
    assert len(row["matches"]) == 3


def test_neither_photo_nor_words_is_refused(server):
    assert "send `image_bytes`, `query_text`, or both" in refused(server, "product_match", NOTHING)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"top_k": 0}, "top_k: expected a whole number from 1 to 1,000, got 0"),
        ({"top_k": -1}, "got -1"),
        ({"top_k": 10_000}, "got 10000"),
        ({"top_k": "five"}, "got 'five'"),
        ({"colour": "red"}, f"parameter `colour` is not known here; known are {KNOWN}; remove it or"),
        ({"image_weight": float("nan")}, "image_weight: expected a number from 0 to 1,000, got nan"),
        ({"text_weight": "NaN"}, "text_weight: expected a number from 0 to 1,000, got nan"),
        ({"image_weight": 0.0, "text_weight": 0.0}, "both are 0; give at least one of them more"),
        ({"filter": '{"colour": "red"}'}, "`colour` cannot be filtered on; known fields are category, color"),
        ({"wait": True}, "parameter `wait` is not known here"),
    ],
)
def test_a_bad_option_is_refused(server, parameters, words):
    query = {"image_bytes": [PHOTO], "query_text": [b"red"]}
    assert words in refused(server, "product_match", query, **parameters)


@pytest.mark.parametrize("value", ["0", "-1", "10000", "five"])
def test_a_bad_option_in_a_header_is_a_400(server, value):
    request = urllib.request.Request(
        f"http://{server.http}/v2/models/product_match_image/infer",
        data=PHOTO,
        headers={"Inference-Header-Content-Length": "0", "top_k": value},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as answer:
        assert answer.code == 400
        assert "top_k: expected a whole number from 1 to 1,000" in json.load(answer)["error"]


BAD_PRODUCTS = {
    "no id": ({"name": "Tee"}, PHOTO, b"tee", "`id` must be a non-empty string, got None; give each"),
    "nothing to find it by": ({"id": "x"}, b"", b"", "product x: neither a photo nor words came; send `image_bytes`"),
    "20 MB description": (
        {"id": "x", "description": "x" * 20_000_000}, PHOTO, b"tee", "limit is 1,048,576; shorten the description",
    ),
    "price in words": ({"id": "x", "price": "free"}, PHOTO, b"", "price must be a finite number, got 'free'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_PRODUCTS)
def test_a_bad_product_is_refused(server, name):
    product, photo, text, words = BAD_PRODUCTS[name]
    tensors = {"product": [json.dumps(product).encode()], "image_bytes": [photo], "query_text": [text]}
    assert words in refused(server, "product_index", tensors)


def test_a_bad_row_refuses_its_own_request_and_says_which(server):
    message = refused(server, "product_match_image", {"image_bytes": [PHOTO, b"junk"]})
    assert "row 1: image: 4 bytes that are not a photo" in message


def test_hundreds_of_bad_requests_among_good_ones_harm_none(server):
    """Triton 2.51 crashed within a hundred of these while photo and words were two parallel branches."""
    bad_requests = [
        ("product_match", {"image_bytes": [PHOTO], "query_text": [b"red"]}, {"top_k": -1}),
        ("product_match", {"image_bytes": [PHOTO], "query_text": [b"?!"]}, {}),
        ("product_match", {"image_bytes": [b"junk"], "query_text": [b"?!"]}, {}),
        ("product_index", {"product": [b"{}"], "image_bytes": [b"junk"], "query_text": [b"?!"]}, {}),
    ]

    def send(number):
        if number % 2:
            good_photo(server)
            return
        model, tensors, parameters = bad_requests[number // 2 % len(bad_requests)]
        with pytest.raises(InferenceServerException) as caught:
            server.infer(model, tensors, **parameters)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(400)))


def test_an_unknown_model_is_a_404(server):
    request = urllib.request.Request(f"http://{server.http}/v2/models/nothing/infer", data=b"{}")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as answer:
        assert answer.code in (400, 404)


def test_nothing_of_all_this_reached_the_log_as_a_trace(server):
    assert "Traceback" not in server.log
