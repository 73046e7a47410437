"""One live server for all integration tests, with part of the sample catalogue in it."""

from __future__ import annotations

import json

import pytest

from product_match.contract.products import product_words
from tests.fakes.live_server import PROJECT, start_server
from tests.fakes.trace_receiver import TraceReceiver

SAMPLE = PROJECT / "sample_data"
PRODUCTS = 40


def sample_products(count=PRODUCTS):
    """Products from both ends of the catalogue, so that there are garments and groceries."""
    lines = (SAMPLE / "products.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = [*lines[: count // 2], *lines[-(count - count // 2) :]]
    return [json.loads(line) for line in chosen]


def index_tensors(products):
    return {
        "product": [json.dumps(product).encode() for product in products],
        "image_bytes": [(SAMPLE / product["image"]).read_bytes() for product in products],
        "query_text": [product_words(product).encode() for product in products],
    }


@pytest.fixture(scope="session")
def traces():
    """Where the server sends its traces: those that a test asks for, as one request in a million is its own."""
    with TraceReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def server(tmp_path_factory, traces):
    state = tmp_path_factory.mktemp("live") / "state"
    live = start_server(state, "--trace-url", traces.url, "--trace-every", "1000000")
    products = sample_products()
    for start in range(0, len(products), 20):
        live.infer("product_index", index_tensors(products[start : start + 20]), wait=True)
    yield live
    assert live.stop() == 0
