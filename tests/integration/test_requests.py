"""One request in, matched products out: every ensemble, both wires, and curl's way in, on the live server."""

from __future__ import annotations

import base64
import json
import re
import stat
import time
import urllib.request
import uuid

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from product_match.contract.encoder import load_encoder
from product_match.contract.models import composing_models, ensembles
from product_match.encoding.session import EncoderSession
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor
from tests.fakes import photos
from tests.fakes.live_server import PROJECT
from tests.integration.conftest import SAMPLE, index_tensors, sample_products

pytestmark = pytest.mark.triton
DEMO = PROJECT / "default_encoder" / "embedded"
PRODUCT = sample_products()[0]
PHOTO = (SAMPLE / PRODUCT["image"]).read_bytes()


def post(server, model, body, method="infer", **headers):
    request = urllib.request.Request(f"http://{server.http}/v2/models/{model}/{method}", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.read()


def raw_matches(answer):
    """The JSON that a raw answer ends with, as `grep -ao` finds it."""
    return json.loads(re.search(rb'\{"query_id".*\}', answer, re.DOTALL)[0])


@pytest.mark.parametrize("wire", ["http", "grpc"])
def test_a_photo_of_a_product_finds_that_product_first(server, wire):
    (row,) = server.infer("product_match_image", {"image_bytes": [PHOTO]}, wire, top_k=3)
    assert row["encoder"] == load_encoder(DEMO).identity
    assert [match["rank"] for match in row["matches"]] == [1, 2, 3]
    best = row["matches"][0]
    assert best["product_id"] == PRODUCT["id"]
    assert best["product"] == PRODUCT


@pytest.mark.parametrize("wire", ["http", "grpc"])
def test_words_answer_and_so_do_both(server, wire):
    (by_words,) = server.infer("product_match_text", {"query_text": [b"red leather jacket"]}, wire, top_k=2)
    (by_both,) = server.infer("product_match", {"image_bytes": [PHOTO], "query_text": [b"red jacket"]}, wire)
    assert len(by_words["matches"]) == 2
    assert len(by_both["matches"]) == 10


def test_the_server_gives_what_the_parts_give_in_process(server):
    encoder = load_encoder(DEMO)
    specs = {model.name: model for model in composing_models(encoder)}
    pixels = ImagePreprocessor(encoder).pixels(PHOTO)[None]
    image = EncoderSession(DEMO / "image_encoder.onnx", specs["image_encoder"]).encode({"pixel_values": pixels})
    tokens = TextPreprocessor(encoder, DEMO).tokenize(["red jacket"])
    text = EncoderSession(DEMO / "text_encoder.onnx", specs["text_encoder"]).encode(
        {"input_ids": tokens.input_ids, "eot_index": tokens.eot_index}
    )
    body = json.dumps({"image_bytes": data_url(PHOTO)}).encode()
    answered = json.loads(post(server, "embed_image", body, "generate"))["image_embeds"]
    assert np.allclose(answered, image[0], atol=1e-5)
    answered = json.loads(post(server, "embed_text", b'{"query_text": "red jacket"}', "generate"))["text_embeds"]
    assert np.allclose(answered, text[0], atol=1e-5)


def data_url(photo):
    return "data:image/jpeg;base64," + base64.b64encode(photo).decode()


def test_a_raw_photo_with_its_options_as_headers(server):
    headers = {"Inference-Header-Content-Length": "0", "top_k": "2", "fields": "name", "min-score": "-5"}
    row = raw_matches(post(server, "product_match_image", PHOTO, **headers))
    assert row["matches"][0]["product"] == {"name": PRODUCT["name"]}
    assert len(row["matches"]) == 2


def test_words_and_a_photo_as_plain_json(server):
    answer = json.loads(post(server, "product_match_text", b'{"query_text": "red jacket", "top_k": 2}', "generate"))
    assert len(json.loads(answer["matches"])["matches"]) == 2
    query = {"query_text": "red jacket", "image_bytes": data_url(PHOTO), "top_k": 1, "text_weight": 0}
    answer = json.loads(post(server, "product_match", json.dumps(query).encode(), "generate"))
    assert json.loads(answer["matches"])["matches"][0]["product_id"] == PRODUCT["id"]


def test_several_rows_are_answered_row_by_row(server):
    rows = server.infer("product_match", {"image_bytes": [PHOTO, b"", PHOTO], "query_text": [b"", b"green", b"red"]})
    (alone,) = server.infer("product_match_image", {"image_bytes": [PHOTO]})
    (words,) = server.infer("product_match_text", {"query_text": [b"green"]})
    assert ids(rows[0]) == ids(alone)
    assert ids(rows[1]) == ids(words)
    assert len(rows) == 3


def ids(row):
    return [match["product_id"] for match in row["matches"]]


def test_a_filter_leaves_only_what_fits(server):
    (row,) = server.infer("product_match_image", {"image_bytes": [PHOTO]}, filter='{"category": "Jackets"}')
    assert row["matches"]
    assert {match["product"]["category"] for match in row["matches"]} == {"Jackets"}
    (row,) = server.infer("product_match_text", {"query_text": [b"fruit"]}, filter='{"price": {"lt": 3}}', top_k=50)
    assert all(match["product"]["price"] < 3 for match in row["matches"])


def test_min_score_and_weights_change_the_answer(server):
    query = {"image_bytes": [PHOTO], "query_text": [b"avocado"]}
    (photo_only,) = server.infer("product_match", query, image_weight=1.0, text_weight=0.0)
    (alone,) = server.infer("product_match_image", {"image_bytes": [PHOTO]})
    assert ids(photo_only) == ids(alone)
    best = alone["matches"][0]["score"]
    (cut,) = server.infer("product_match_image", {"image_bytes": [PHOTO]}, min_score=best - 1e-3)
    assert ids(cut) == [PRODUCT["id"]]


def test_what_is_like_a_product_and_unlike_another(server):
    (row,) = server.infer("product_match_text", {"query_text": [b""]}, like="1016", top_k=3)
    assert "1016" not in ids(row)
    assert all(match["product"]["category"] == "Dresses" for match in row["matches"])
    (changed,) = server.infer("product_match_text", {"query_text": [b"in black"]}, like="1014")
    assert ids(changed)[0] == "1021"  # a black sheath dress, as 1014 is a plum one
    (other,) = server.infer("product_match_text", {"query_text": [b"in black"]}, like="1014", unlike="1021")
    assert not {"1014", "1021"} & set(ids(other))
    with pytest.raises(InferenceServerException, match="like: no product of the catalogue has the id nothing; name"):
        server.infer("product_match_text", {"query_text": [b"in black"]}, like="nothing")


def test_receipts_say_created_unchanged_updated(server):
    product = {**PRODUCT, "id": "receipt-1"}
    tensors = index_tensors([product])
    (created,) = server.infer("product_index", tensors, wait=True)
    assert created == {"id": "receipt-1", "rev": 1, "status": "created", "searchable": True}
    (unchanged,) = server.infer("product_index", tensors)
    assert unchanged == {"id": "receipt-1", "rev": 1, "status": "unchanged"}
    (updated,) = server.infer("product_index", index_tensors([{**product, "price": 1.0}]), wait=True)
    assert updated == {"id": "receipt-1", "rev": 2, "status": "updated", "searchable": True}
    (row,) = server.infer("product_match_image", {"image_bytes": [PHOTO]}, top_k=2)
    assert "receipt-1" in ids(row)
    assert next(m for m in row["matches"] if m["product_id"] == "receipt-1")["product"]["price"] == 1.0


def test_the_last_of_two_with_one_id_stays(server):
    twice = index_tensors([{**PRODUCT, "id": "twice", "price": price} for price in (1.0, 2.0)])
    receipts = server.infer("product_index", twice, wait=True)
    assert [receipt["rev"] for receipt in receipts] == [1, 2]
    (row,) = server.infer("product_match_image", {"image_bytes": [PHOTO]}, top_k=5)
    assert next(m for m in row["matches"] if m["product_id"] == "twice")["product"]["price"] == 2.0


def test_a_product_with_only_words_is_found_by_words(server):
    product = {"id": "words-only", "name": "Zinc watering can for the balcony"}
    words = [product["name"].encode()]
    tensors = {"product": [json.dumps(product).encode()], "image_bytes": [b""], "query_text": words}
    server.infer("product_index", tensors, wait=True)
    (row,) = server.infer("product_match_text", {"query_text": words}, top_k=1)
    assert ids(row) == ["words-only"]


def test_an_answers_token_takes_feedback_once(server):
    (row,) = server.infer("product_match_text", {"query_text": [b"red jacket"]}, top_k=2)
    given = {
        "feedback_token": [row["feedback_token"].encode()] * 2,
        "product_id": [row["matches"][1]["product_id"].encode()] * 2,
        "feedback": [b"7", b"7"],
    }
    assert [receipt["status"] for receipt in server.infer("feedback", given)] == ["recorded", "repeated"]
    body = json.dumps({name: rows[0].decode() for name, rows in given.items()}).encode()
    receipt = json.loads(json.loads(post(server, "feedback", body, "generate"))["receipt"])
    assert receipt["status"] == "repeated"
    with pytest.raises(
        InferenceServerException, match="product 'elsewhere' is not among the 2 products of the answer"
    ):
        server.infer("feedback", {**given, "product_id": [b"elsewhere"] * 2})
    keys = server.state_directory / "feedback_keys.json"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600


def kept(server, since, **wanted):
    """The events from a moment on that fit, as soon as there is one; they are written behind the answers."""
    command = json.dumps({"operation": "events", "since": int(since)}).encode()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        (page,) = server.infer("catalogue", {"command": [command]})
        fitting = [event for event in page["events"] if wanted.items() <= event.items()]
        if fitting:
            return fitting
        time.sleep(0.05)
    return []


def test_answers_and_errors_are_events_and_a_person_can_be_removed(server):
    name, begun = uuid.uuid4().hex, time.time()
    query = {"query_text": [f"jacket {name}".encode()]}
    (row,) = server.infer("product_match_text", query, top_k=2, person=name, filter='{"price": {"lt": 500}}')
    (event,) = kept(server, begun, words=f"jacket {name}")
    assert [result["id"] for result in event["results"]] == ids(row)
    assert (event["kind"], event["outcome"], event["encoder"]) == ("words", row["outcome"], row["encoder"])
    assert (event["options"], json.loads(event["filter"])) == ({"top_k": 2}, {"price": {"lt": 500}})
    with pytest.raises(InferenceServerException):
        server.infer("product_match_text", query, top_k=0)
    with pytest.raises(InferenceServerException):
        server.infer("product_match_image", {"image_bytes": [b"junk"]})
    assert kept(server, begun, type="error", model="text_preprocess", code="INVALID_ARG")
    assert kept(server, begun, type="error", model="image_preprocess", code="INVALID_ARG")
    command = json.dumps({"operation": "forget", "person": name}).encode()
    (answer,) = server.infer("catalogue", {"command": [command]})
    assert answer == {"removed": {"events": 1, "feedback": 0}}


def test_every_declared_model_is_there_with_its_tensors(server):
    encoder = load_encoder(DEMO)
    for model in (*composing_models(encoder), *ensembles(encoder)):
        with urllib.request.urlopen(f"http://{server.http}/v2/models/{model.name}", timeout=10) as response:
            held = json.load(response)
        for side, specs in (("inputs", model.inputs), ("outputs", model.outputs)):
            assert {tensor["name"]: tensor["datatype"] for tensor in held[side]} == {
                spec.name: spec.dtype.value for spec in specs
            }


def test_requests_that_come_together_share_a_batch(server):
    """Sixteen at once take fewer executions than requests: the dynamic batcher is at work."""
    import concurrent.futures

    def statistics():
        with urllib.request.urlopen(f"http://{server.http}/v2/models/image_encoder/stats", timeout=10) as response:
            stats = json.load(response)["model_stats"][0]
        return stats["inference_count"], stats["execution_count"]

    before = statistics()
    queries = [photos.jpeg(100 + n, 90) for n in range(48)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda photo: server.infer("product_match_image", {"image_bytes": [photo]}), queries))
    inferences, executions = (after - first for after, first in zip(statistics(), before, strict=True))
    assert inferences == 48
    assert executions < 48


def test_a_repeated_photo_is_answered_by_the_encoders_cache(server):
    def hits():
        with urllib.request.urlopen(f"http://{server.http}/v2/models/image_encoder/stats", timeout=10) as response:
            return json.load(response)["model_stats"][0]["inference_stats"]["cache_hit"]["count"]

    photo = photos.jpeg(333, 222)
    first = server.infer("product_match_image", {"image_bytes": [photo]})
    before = hits()
    second = server.infer("product_match_image", {"image_bytes": [photo]})
    assert hits() == before + 1
    assert first[0]["matches"] == second[0]["matches"]


def test_every_model_reads_in_the_memory_of_this_triton_whether_it_is_still_waited_for(server):
    assert server.infer("catalogue", {"command": [b'{"operation": "count"}']})[0]["count"]
    assert "successfully loaded 'retrieval'" in server.log
    assert "is not laid out as expected" not in server.log
