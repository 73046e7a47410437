"""Large photos are decoded by processes that are ended when they take too long, and started again."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future

import numpy as np
import pytest

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError, ProductMatchError, UnavailableError
from product_match.preprocessing import decoder_process, decoding, images, isolation
from product_match.preprocessing.decoding import Decoder
from product_match.preprocessing.formats.recognition import inspect
from product_match.preprocessing.geometry import Geometry
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.isolation import DecoderProcess
from tests.fakes import photos
from tests.fakes.encoders import encoder_spec

GEOMETRY = Geometry.of(encoder_spec())
TIFF = photos.encoded(photos.gradient(), "TIFF")
HEADER = inspect(TIFF)


@pytest.fixture
def process():
    made = DecoderProcess(GEOMETRY)
    yield made
    made.close()


def pid_of(process):
    return process._process.pid


def test_a_process_gives_the_pixels_that_this_one_would(process):
    assert np.array_equal(process.pixels(HEADER, TIFF), Decoder(GEOMETRY).pixels(HEADER))
    first = pid_of(process)
    assert np.array_equal(process.pixels(HEADER, TIFF), Decoder(GEOMETRY).pixels(HEADER))
    assert pid_of(process) == first


def test_what_it_refuses_comes_back_as_it_was_said(process):
    with pytest.raises(InvalidRequestError, match="image: the TIFF data is damaged or cut short"):
        process.pixels(HEADER, TIFF[:-40])


def test_a_process_that_dies_is_started_again(process, caplog):
    process.pixels(HEADER, TIFF)
    os.kill(pid_of(process), signal.SIGSTOP)
    killer = threading.Timer(0.1, os.kill, (pid_of(process), signal.SIGKILL))
    killer.start()
    with pytest.raises(InvalidRequestError, match="image: the TIFF data makes its decoder fail; save it again"):
        process.pixels(HEADER, TIFF)
    killer.join()
    assert "the decoder ended over a TIFF of" in caplog.text
    assert process.pixels(HEADER, TIFF).shape == (32, 32, 3)
    os.kill(pid_of(process), signal.SIGKILL)
    process._process.wait()
    assert process.pixels(HEADER, TIFF).shape == (32, 32, 3)


def test_a_process_that_is_gone_before_it_was_asked_is_told(process, monkeypatch):
    process.pixels(HEADER, TIFF)
    os.kill(pid_of(process), signal.SIGKILL)
    process._process.wait()
    monkeypatch.setattr(process, "_running", lambda: process._process)
    with pytest.raises(InvalidRequestError, match="makes its decoder fail"):
        process.pixels(HEADER, TIFF)


def test_a_photo_that_takes_too_long_is_given_up():
    process = DecoderProcess(GEOMETRY, deadline_s=0.3)
    process._deadline_s = 30.0
    process.pixels(HEADER, TIFF)
    process._deadline_s = 0.3
    stopped = pid_of(process)
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(InvalidRequestError) as caught:
        process.pixels(HEADER, TIFF)
    assert str(caught.value) == (
        "image: decoding this TIFF of 64 x 48 takes longer than 0.3 s; scale it down before sending"
    )
    with pytest.raises(ProcessLookupError):
        os.kill(stopped, 0)
    process.close()


def test_what_nobody_foresaw_there_is_an_internal_error_here(process, monkeypatch, caplog):
    monkeypatch.setattr(process, "_asked", lambda data: (decoder_process.FAILED, b"Traceback: boom"))
    with pytest.raises(ProductMatchError, match="image: internal error; the server's log has the details"):
        process.pixels(HEADER, TIFF)
    assert "a TIFF could not be decoded: Traceback: boom" in caplog.text


def test_a_process_that_is_forgotten_is_ended():
    process = DecoderProcess(GEOMETRY)
    process.pixels(HEADER, TIFF)
    running = process._process
    del process
    assert running.wait(10) == -signal.SIGKILL


def test_a_process_ends_when_nobody_asks_any_more():
    command = [sys.executable, "-m", isolation.MODULE, GEOMETRY.to_json()]
    done = subprocess.run(
        command, input=len(TIFF).to_bytes(8, "big") + TIFF, capture_output=True, timeout=60, check=True
    )
    assert int.from_bytes(done.stdout[:8], "big") == 1 + 32 * 32 * 3
    assert done.stdout[8:9] == decoder_process.PIXELS


def test_messages_are_served_one_after_the_other():
    asked, answered = io.BytesIO(), io.BytesIO()
    for data in (photos.jpeg(), b"junk"):
        decoder_process.write_message(asked, data)
    asked.seek(0)
    decoder_process.serve(Decoder(GEOMETRY), asked, answered)
    data = answered.getvalue()
    length = int.from_bytes(data[:8], "big")
    assert data[8:9] == decoder_process.PIXELS
    assert data[8 + length + 8 :].startswith(decoder_process.REFUSED + b"image: 4 bytes that are not a photo")


def test_a_failure_is_answered_with_its_trace(monkeypatch):
    decoder = Decoder(GEOMETRY)
    monkeypatch.setattr(decoder, "pixels", lambda header: 1 / 0)
    kind, body = decoder_process.answer(decoder, photos.jpeg())
    assert kind == decoder_process.FAILED
    assert body.rstrip().endswith(b"ZeroDivisionError: division by zero")


def test_memory_is_bounded_from_what_is_held(monkeypatch):
    bounds = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: bounds.append((kind, pair)))
    decoder_process.bound_memory(1_000_000)
    ((kind, (soft, hard)),) = bounds
    assert kind == resource.RLIMIT_DATA
    assert soft == hard > 10_000_000


def test_a_want_of_memory_is_told(monkeypatch):
    decoder = Decoder(GEOMETRY)

    def want(*_):
        raise MemoryError

    monkeypatch.setitem(decoding._DECODERS, "TIFF", want)
    with pytest.raises(InvalidRequestError) as caught:
        decoder.pixels(HEADER)
    assert str(caught.value).startswith(
        "image: this TIFF takes more than 469,762,048 bytes of memory to decode; scale"
    )


@pytest.fixture
def preprocessor():
    made = ImagePreprocessor(encoder_spec())
    yield made
    made.close()


def test_light_photos_are_there_while_large_ones_are_still_decoded(preprocessor):
    preprocessor.pixels(TIFF)
    for process in preprocessor._large._idle:
        process.pixels(HEADER, TIFF)
        os.kill(pid_of(process), signal.SIGSTOP)
    stopped = [pid_of(process) for process in preprocessor._large._idle]
    rows = preprocessor.begin([TIFF, photos.jpeg(), TIFF, b"junk"])
    assert isinstance(rows[0], Future)
    assert isinstance(rows[1], np.ndarray)
    assert isinstance(rows[3], InvalidRequestError)
    assert not rows[0].done()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert np.array_equal(rows[0].result(30), rows[2].result(30))


def test_a_large_photo_whose_turn_does_not_come_is_refused_as_busy(preprocessor):
    (row,) = preprocessor.begin([TIFF], wait_s=-1.0)
    error = row.result(30)
    assert isinstance(error, UnavailableError)
    assert "the server is busy with other large photos; send this one again in a moment" in str(error)


def test_large_photos_that_wait_are_held_up_to_a_limit(preprocessor, monkeypatch):
    monkeypatch.setattr(limits, "MAX_LARGE_IMAGES_BYTES", len(TIFF) + 10)
    first, second = preprocessor.begin([TIFF, TIFF], wait_s=30.0)
    refused = [row for row in (first, second) if isinstance(row, UnavailableError)]
    assert len(refused) == 1
    assert "busy with other large photos" in str(refused[0])
    for row in (first, second):
        if isinstance(row, Future):
            assert row.result(30).shape == (32, 32, 3)
    # Nobody else is kept out once they are decoded, and who waits for all of them is not kept out at all.
    assert all(isinstance(row, np.ndarray) for row in preprocessor.preprocess([TIFF, TIFF, TIFF]))


def test_whoever_waits_when_it_ends_is_told_at_once():
    preprocessor = ImagePreprocessor(encoder_spec())
    for process in preprocessor._large._processes:
        process.pixels(HEADER, TIFF)
        os.kill(pid_of(process), signal.SIGSTOP)
    rows = preprocessor.begin([TIFF] * 5)
    preprocessor.close()
    for row in rows:
        error = row.result(0)
        assert isinstance(error, UnavailableError)
        assert str(error) == "image: the server is about to end; send this one again in a moment"
    preprocessor.close()


def test_what_nobody_foresaw_in_a_row_stays_there(preprocessor, monkeypatch, caplog):
    wrong = b"wrong"

    def explode(data):
        if data == wrong:
            raise ZeroDivisionError("boom")
        return inspect(data)

    monkeypatch.setattr(images, "inspect", explode)
    rows = preprocessor.preprocess([photos.jpeg(), wrong, photos.jpeg()])
    assert type(rows[1]) is ProductMatchError
    assert str(rows[1]) == "internal error; the server's log has the details"
    assert np.array_equal(rows[0], rows[2])
    assert caplog.text.count("ZeroDivisionError: boom") == 1
    assert caplog.text.count("a photo could not be read") == 1


def test_what_nobody_foresaw_of_a_large_photo_stays_there(preprocessor, monkeypatch, caplog):
    def explode(*_):
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(DecoderProcess, "pixels", explode)
    with pytest.raises(ProductMatchError, match="internal error; the server's log has the details"):
        preprocessor.pixels(TIFF)
    assert caplog.text.count("a large photo could not be read") == 1
