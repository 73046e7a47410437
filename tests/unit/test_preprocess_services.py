"""A row that cannot be read, whatever the reason, is answered by itself; a request with large photos comes later."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import InvalidRequestError, ProductMatchError, in_row
from product_match.contract.models import IMAGE_BYTES, IMAGE_PREPROCESS, QUERY_TEXT, TEXT_PREPROCESS, composing_model
from product_match.preprocessing import images
from product_match.preprocessing.formats.recognition import inspect
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor
from product_match.triton import services
from product_match.triton.batches import BatchRequest, BatchServer, bytes_column
from product_match.triton.services import ImagePreprocessService, TextPreprocessService
from tests.fakes import pb_utils, photos
from tests.fakes.encoders import encoder_spec

DEMO = Path(__file__).parents[2] / "default_encoder" / "embedded"
TIFF = photos.encoded(photos.gradient(), "TIFF")
INTERNAL = "internal error; the server's log has the details"


@pytest.fixture
def preprocessor():
    made = ImagePreprocessor(encoder_spec())
    yield made
    made.close()


@pytest.fixture
def photo_server(preprocessor):
    encoder = encoder_spec()
    service = ImagePreprocessService(encoder, preprocessor)
    return BatchServer(pb_utils, composing_model(encoder, IMAGE_PREPROCESS), service)


def photo_request(*rows):
    return pb_utils.InferenceRequest({IMAGE_BYTES.name: bytes_column(rows)})


def message(response):
    return response.error().message() if response.has_error() else ""


@pytest.fixture
def exploding(monkeypatch):
    def explode(data):
        if data == b"wrong":
            raise ZeroDivisionError("boom")
        return inspect(data)

    monkeypatch.setattr(images, "inspect", explode)


def test_what_nobody_foresaw_in_one_photo_leaves_the_batch_alone(photo_server, exploding, caplog):
    good = [photo_request(photos.jpeg()) for _ in range(20)]
    responses = photo_server.execute([*good, photo_request(b"wrong"), photo_request(photos.jpeg(), b"wrong"), *good])
    failed = [f"[internal] {INTERNAL}", f"[internal] row 1: {INTERNAL}"]
    assert [message(response) for response in responses] == [""] * 20 + failed + [""] * 20
    assert responses[20].error().code() == pb_utils.TritonError.INTERNAL
    assert caplog.text.count("ZeroDivisionError: boom") == 2


def test_a_broken_palette_is_a_400_of_its_own(photo_server):
    case = (Path(__file__).parents[1] / "cases" / "photos" / "palette-without-plte.png").read_bytes()
    responses = photo_server.execute(
        [photo_request(photos.jpeg()), photo_request(case), photo_request(photos.jpeg())]
    )
    assert [response.has_error() for response in responses] == [False, True, False]
    assert responses[1].error().code() == pb_utils.TritonError.INVALID_ARG
    assert "the PNG data is damaged or cut short (no palette)" in message(responses[1])


def test_a_request_with_large_photos_is_answered_later_and_the_others_at_once(photo_server, preprocessor):
    preprocessor.preprocess([TIFF, TIFF])
    for process in preprocessor._large._idle:
        process.pixels(inspect(TIFF), TIFF)
        os.kill(process._process.pid, signal.SIGSTOP)
    stopped = [process._process.pid for process in preprocessor._large._idle]
    late = photo_request(TIFF, photos.jpeg(), TIFF)
    broken = photo_request(photos.jpeg(), TIFF[:-100])
    responses = photo_server.execute([photo_request(photos.jpeg()), late, photo_request(b"junk"), broken])
    assert responses[1] is None
    assert not responses[0].has_error()
    assert responses[2].has_error()
    assert late.sender.sent.empty()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    response, flags = late.sender.sent.get(timeout=30)
    assert flags == pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
    pixels = response.output_tensors()[0].as_numpy()
    assert np.array_equal(pixels[0], preprocessor.pixels(TIFF))
    assert np.array_equal(pixels[1], preprocessor.pixels(photos.jpeg()))
    assert message(responses[3] or broken.sender.sent.get(timeout=30)[0]).startswith("row 1: image: the TIFF data is")


def test_an_answer_that_cannot_be_sent_is_logged(photo_server, monkeypatch, caplog):
    request = photo_request(TIFF)
    answered = Future()

    class Gone:
        def send(self, response, flags):
            try:
                raise RuntimeError("the requester has gone")
            finally:
                answered.set_result(None)

    monkeypatch.setattr(request, "get_response_sender", Gone)
    assert photo_server.execute([request]) == [None]
    answered.result(30)
    photo_server._handler._preprocessor.close()
    assert "image_preprocess: a late answer could not be sent" in caplog.text


@pytest.fixture
def words():
    encoder = load_encoder(DEMO)
    return TextPreprocessor(encoder, DEMO)


def words_request(*rows):
    return BatchRequest(tensors={QUERY_TEXT.name: bytes_column(rows)})


def test_what_nobody_foresaw_while_words_are_read_stays_in_their_row(words, monkeypatch, caplog):
    def explode(data):
        if data == b"wrong":
            raise ZeroDivisionError("boom")
        return data.decode()

    monkeypatch.setattr(services, "decode_text", explode)
    service = TextPreprocessService(words)
    answers = service([words_request(b"red"), words_request(b"wrong"), words_request(b"red", b"blue", b"wrong")])
    assert isinstance(answers[0], dict)
    assert [str(answer) for answer in answers[1:]] == [INTERNAL, f"row 2: {INTERNAL}"]
    assert caplog.text.count("ZeroDivisionError: boom") == 2


def test_what_nobody_foresaw_while_words_are_tokenised_stays_in_their_row(words, monkeypatch, caplog):
    tokenize = words.tokenize

    def explode(texts):
        if "wrong" in texts:
            raise ZeroDivisionError("boom")
        return tokenize(texts)

    monkeypatch.setattr(words, "tokenize", explode)
    service = TextPreprocessService(words)
    answers = service([words_request(b"red"), words_request(b"red", b"wrong"), words_request(b"wrong")])
    assert isinstance(answers[0], dict)
    assert [str(answer) for answer in answers[1:]] == [f"row 1: {INTERNAL}", INTERNAL]
    assert caplog.text.count("ZeroDivisionError: boom") == 2


def test_words_that_fail_together_alone_are_an_internal_error(words, monkeypatch):
    tokenize = words.tokenize
    monkeypatch.setattr(words, "tokenize", lambda texts: 1 / 0 if len(texts) > 1 else tokenize(texts))
    (answer,) = TextPreprocessService(words)([words_request(b"red", b"blue")])
    assert str(answer) == INTERNAL


def test_a_rows_number_is_told_once_and_only_among_several():
    error = InvalidRequestError("image: wrong")
    assert in_row(error, 3, 1) is error
    assert str(in_row(error, 3, 8)) == "row 3: image: wrong"
    assert type(in_row(error, 3, 8)) is InvalidRequestError
    assert str(in_row(in_row(error, 3, 8), 3, 8)) == "row 3: image: wrong"
    assert type(in_row(ProductMatchError("x"), 0, 2)) is ProductMatchError


def test_the_model_of_words_is_the_contracts(words):
    server = BatchServer(pb_utils, composing_model(load_encoder(DEMO), TEXT_PREPROCESS), TextPreprocessService(words))
    responses = server.execute(
        [pb_utils.InferenceRequest({QUERY_TEXT.name: bytes_column([row])}) for row in (b"red", b"\xff", b"blue")]
    )
    assert [response.has_error() for response in responses] == [False, True, False]
