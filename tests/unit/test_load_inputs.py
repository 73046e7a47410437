"""No two photos and no two texts of a load are alike, unless repeats are asked for."""

from __future__ import annotations

import io
import json
import struct
import sys

import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import service_pb2

from benchmarks.load.inputs import VARIANTS, Inputs, altered, photo_files, varied_photos, varied_texts
from benchmarks.load.messages import Kind, columns, grpc_message, http_message, packed
from product_match.contract.errors import ConfigError, InvalidRequestError

LINES = ["Red leather jacket", "Dark blue denim trucker jacket", "Pink Lady apples", "Oat yoghurt, 2 x 500 g"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    directory = tmp_path_factory.mktemp("photos")
    chance = np.random.default_rng(5)
    for number in range(3):
        coarse = chance.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((160, 120)).save(directory / f"{number}.jpg", quality=90)
    (directory / "notes.txt").write_text("no photo")
    return directory


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)))


def test_varied_photos_are_all_different_and_the_same_for_the_same_seed(photos):
    files = photo_files(photos)
    assert [file.name for file in files] == ["0.jpg", "1.jpg", "2.jpg"]
    made = varied_photos(files, 12, seed=3)
    assert len({pixels(jpeg).tobytes() for jpeg in made}) == 12
    assert made == varied_photos(files, 12, seed=3)
    assert made != varied_photos(files, 12, seed=4)


def test_an_altered_photo_shows_nearly_the_same_with_other_pixels(photos):
    (jpeg,) = varied_photos(photo_files(photos), 1, seed=1)
    shown = {pixels(altered(jpeg, variant)).tobytes() for variant in (0, 1, 5, 77, VARIANTS - 1)}
    assert len(shown) == 5
    difference = np.abs(pixels(altered(jpeg, 77)).astype(int) - pixels(jpeg).astype(int))
    assert difference.mean() < 16


def test_a_photo_has_so_many_variants_and_no_more(photos):
    (jpeg,) = varied_photos(photo_files(photos), 1, seed=1)
    with pytest.raises(InvalidRequestError, match="4096 variants, got number 4096"):
        altered(jpeg, VARIANTS)


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"\xff\xdb\x00\x43\x10" + b"x" * 64])
def test_only_a_jpeg_with_a_table_of_bytes_can_be_altered(data):
    with pytest.raises(InvalidRequestError, match="quantisation table"):
        altered(data, 1)


def test_a_directory_without_photos_is_named(tmp_path):
    with pytest.raises(ConfigError, match="holds no photo"):
        photo_files(tmp_path)


def test_photos_that_cannot_be_told_apart_are_not_sent(tmp_path):
    Image.new("RGB", (8, 8), "white").save(tmp_path / "white.png")
    with pytest.raises(ConfigError, match="give more files"):
        varied_photos(photo_files(tmp_path), 50, seed=1)


def test_varying_photos_says_what_to_install(monkeypatch, photos):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"product-match\[bench\]"):
        varied_photos(photo_files(photos), 1, seed=1)


def test_varied_texts_are_all_different_and_short():
    texts = varied_texts(LINES, 100, seed=2)
    assert len(set(texts)) == 100
    assert texts == varied_texts(LINES, 100, seed=2)
    assert all(1 <= len(text.split()) <= 6 for text in texts)


@pytest.mark.parametrize("lines", [[], ["one two"], ["42"]])
def test_too_few_words_are_told(lines):
    with pytest.raises(ConfigError, match="give more lines"):
        varied_texts(lines, 1000, seed=1)


def test_a_load_never_repeats_an_input(photos):
    inputs = Inputs(photos=varied_photos(photo_files(photos), 4, seed=1), texts=varied_texts(LINES, 5, seed=1))
    assert len({inputs.photo(number) for number in range(40)}) == 40
    assert len({inputs.text(number) for number in range(40)}) == 40


def test_a_load_of_repeats_sends_only_so_many_inputs(photos):
    inputs = Inputs(photos=varied_photos(photo_files(photos), 4, seed=1), texts=[b"a", b"b", b"c"], repeats=2)
    assert len({inputs.photo(number) for number in range(40)}) == 2
    assert {inputs.text(number) for number in range(40)} == {b"a", b"b"}


INPUTS = Inputs(photos=[b"p0", b"p1", b"p2", b"p3"], texts=[b"t0", b"t1", b"t2", b"t3"])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.IMAGE, {"image_bytes": [b"p2", b"p3"]}),
        (Kind.TEXT, {"query_text": [b"t2", b"t3"]}),
        (Kind.BOTH, {"image_bytes": [b"p2", b"p3"], "query_text": [b"t2", b"t3"]}),
    ],
)
def test_a_request_holds_the_tensors_of_its_kind(kind, expected):
    assert columns(kind, INPUTS, 1, rows=2) == expected


def test_an_http_request_says_the_length_of_every_part():
    message = http_message("product_match", {"image_bytes": [b"photo"], "query_text": [b"red"]}, {"top_k": 3}, "h:1")
    head, _, body = message.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert head.startswith(b"POST /v2/models/product_match/infer HTTP/1.1")
    assert int(fields["Content-Length"]) == len(body)
    text = json.loads(body[: int(fields["Inference-Header-Content-Length"])])
    assert text["parameters"] == {"binary_data_output": True, "top_k": 3}
    sizes = [tensor["parameters"]["binary_data_size"] for tensor in text["inputs"]]
    binary = body[int(fields["Inference-Header-Content-Length"]) :]
    assert binary == packed([b"photo"]) + packed([b"red"])
    assert sizes == [9, 7]


def test_a_grpc_request_holds_the_same():
    parameters = {"top_k": 3, "min_score": 0.5, "fields": "name", "wait": True}
    request = service_pb2.ModelInferRequest.FromString(
        grpc_message("m", {"query_text": [b"red", b"blue"]}, parameters)
    )
    assert request.model_name == "m"
    assert list(request.inputs[0].shape) == [2, 1]
    assert request.raw_input_contents[0] == struct.pack("<I", 3) + b"red" + struct.pack("<I", 4) + b"blue"
    assert request.parameters["top_k"].int64_param == 3
    assert request.parameters["min_score"].double_param == 0.5
    assert request.parameters["fields"].string_param == "name"
    assert request.parameters["wait"].bool_param is True
