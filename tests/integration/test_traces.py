"""A client's trace goes on through Triton and into the models, to a receiver of OTLP."""

from __future__ import annotations

import json
import urllib.request
import uuid

import pytest

from tests.integration.conftest import SAMPLE, sample_products

pytestmark = pytest.mark.triton


def test_a_clients_trace_goes_on_through_every_model(server, traces):
    trace, parent = uuid.uuid4().hex, uuid.uuid4().hex[:16]
    words = {"name": "query_text", "shape": [1, 1], "datatype": "BYTES", "data": [sample_products()[0]["name"]]}
    request = urllib.request.Request(
        f"http://{server.http}/v2/models/product_match_text/infer",
        data=json.dumps({"id": "shop-7", "inputs": [words]}).encode(),
        headers={"traceparent": f"00-{trace}-{parent}-01"},
    )
    urllib.request.urlopen(request, timeout=30).close()
    ours = ("tokenise", "search", "rank", "join", "assess")
    spans = traces.wait_for(trace, "product_match_text", "text_preprocess", "text_encoder", "retrieval", *ours)
    by_id = {span.id: span for span in spans}
    (root,) = [span for span in spans if span.parent == parent]
    assert {span.parent for span in spans} - {parent} <= by_id.keys()
    for span in spans:
        assert span.service == "product-match"
        assert root.started_ns <= span.started_ns <= span.ended_ns
        if span.name in ours:
            model = by_id[span.parent]
            assert model.name == ("text_preprocess" if span.name == "tokenise" else "retrieval")
            assert model.started_ns <= span.started_ns <= span.ended_ns <= model.ended_ns
    assert {span.attributes.get("triton.request_id") for span in spans if span.name == "retrieval"} == {"shop-7"}


def test_a_photos_decoding_is_a_span_of_its_model(server, traces):
    photo = (SAMPLE / sample_products()[0]["image"]).read_bytes()
    trace = uuid.uuid4().hex
    request = urllib.request.Request(
        f"http://{server.http}/v2/models/product_match_image/infer",
        data=photo,
        headers={"Inference-Header-Content-Length": "0", "traceparent": f"00-{trace}-{'1' * 16}-01"},
    )
    urllib.request.urlopen(request, timeout=30).close()
    spans = traces.wait_for(trace, "image_preprocess", "decode", "search")
    (decode,) = [span for span in spans if span.name == "decode"]
    assert {span.name for span in spans if span.id == decode.parent} == {"image_preprocess"}
