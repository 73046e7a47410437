"""Requests are let in until too many wait, and Triton's metrics are asked only near that."""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from product_match.contract.errors import UnavailableError
from product_match.contract.limits import MAX_WAITING_REQUESTS
from product_match.triton.admission import PAUSE_S, Admission, WaitingRequests, open_admission
from product_match.triton.batches import BatchRequest, bytes_column
from product_match.triton.services import ImagePreprocessService, TextPreprocessService
from tests.fakes.encoders import encoder_spec

METRICS = b"""# HELP nv_inference_pending_request_count Instantaneous number of pending requests awaiting execution
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="image_encoder",version="1"} 40
nv_inference_pending_request_count{model="product_match",version="1"} 0
nv_inference_pending_request_count{model="retrieval",version="1"} 2
nv_inference_request_success{model="retrieval",version="1"} 999
"""


class Waiting:
    """How many requests wait, as a test says."""

    def __init__(self, count=0):
        self.count, self.looks = count, 0

    def __call__(self):
        self.looks += 1
        if isinstance(self.count, Exception):
            raise self.count
        return self.count


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def parts():
    waiting, clock = Waiting(), Clock()
    return Admission(waiting, limit=10, clock=clock), waiting, clock


def test_nothing_is_asked_while_all_that_came_may_wait(parts):
    admission, waiting, _ = parts
    for _ in range(10):
        admission.admit(1)
    assert waiting.looks == 0
    admission.admit(1)
    assert waiting.looks == 1
    for _ in range(9):
        admission.admit(1)
    assert waiting.looks == 1


def test_what_is_too_much_is_refused_until_less_waits(parts):
    admission, waiting, clock = parts
    admission.admit(10)
    waiting.count = 11
    with pytest.raises(UnavailableError) as refused:
        admission.admit(1)
    assert str(refused.value) == (
        "the server is busy: 11 requests wait, and it takes 10; send this one again in a moment"
    )
    waiting.count = 3
    clock.now = PAUSE_S / 2
    with pytest.raises(UnavailableError, match="11 requests wait"):
        admission.admit(1)
    assert waiting.looks == 1
    clock.now = PAUSE_S
    admission.admit(4)
    assert waiting.looks == 2


def test_without_metrics_everything_is_let_in_and_that_is_logged_once(parts, caplog):
    admission, waiting, clock = parts
    waiting.count = OSError("refused")
    with caplog.at_level(logging.WARNING):
        for now in range(3):
            clock.now = float(now)
            admission.admit(11)
    assert [record.message for record in caplog.records] == [
        "Triton's metrics cannot be read (refused): no request is refused meanwhile"
    ]
    waiting.count, clock.now = 12, 3.0
    with pytest.raises(UnavailableError):
        admission.admit(1)


@pytest.fixture
def metrics():
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = METRICS if self.path == "/metrics" else b""
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_metrics_of_all_models_are_added_up(metrics):
    waiting = WaitingRequests(metrics)
    assert [waiting(), waiting()] == [42, 42]
    waiting._connection.close()


def test_no_address_no_limit(metrics):
    assert open_admission("") is None
    admission = open_admission(metrics)
    admission.admit(MAX_WAITING_REQUESTS)
    admission.admit(1)
    assert admission._at_most == 43
    admission._waiting._connection.close()


def test_a_metrics_port_that_is_closed_is_an_error_of_the_connection():
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        address = f"127.0.0.1:{server.server_port}"
    with pytest.raises(OSError, match="refused"):
        WaitingRequests(address)()


class Words:
    def tokenize(self, texts):
        rows = len(texts)
        tokens = np.zeros((rows, 8), np.int32)
        return type("Tokens", (), {"input_ids": tokens, "eot_index": np.zeros((rows, 1), np.int32)})()


def busy(parts):
    admission, waiting, _ = parts
    waiting.count = 11
    admission.admit(10)
    return admission


def test_words_alone_are_refused_and_words_whose_photo_was_let_in_are_not(parts):
    service = TextPreprocessService(Words(), busy(parts))
    alone = BatchRequest(tensors={"query_text": bytes_column([b"red"])})
    beside = BatchRequest(tensors={"query_text": bytes_column([b"red"]), "image_given": np.ones((1, 1), bool)})
    refused, answered = service([alone, beside])
    assert isinstance(refused, UnavailableError)
    assert answered["input_ids"].shape == (1, 8)
    # Nothing to refuse, nothing to ask.
    assert [set(answer) for answer in service([beside])] == [{"input_ids", "eot_index", "text_given"}]


def test_photos_are_refused_before_they_are_decoded(parts):
    class Decoder:
        def preprocess(self, rows):
            raise AssertionError("decoded")

    service = ImagePreprocessService(encoder_spec(), Decoder(), busy(parts))
    with pytest.raises(UnavailableError, match="the server is busy: 11 requests wait"):
        service([BatchRequest(tensors={"image_bytes": bytes_column([b"photo"])})])
