"""Encoders are compared with FP32 on the processor that serves, before anything is answered."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER, composing_model
from product_match.encoding import reference
from product_match.encoding.processors import gpu_name, processor_name
from product_match.encoding.session import EncoderSession
from tests.fakes.small_encoders import small_encoder


@pytest.fixture
def directory(tmp_path):
    small_encoder(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.fixture
def parts(directory):
    encoder = load_encoder(directory)
    model = composing_model(encoder, IMAGE_ENCODER)
    session = EncoderSession(directory / "image_encoder.onnx", model, 1)
    return encoder, model, session


def leave_reference(directory, session, **more):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    embeds = session.encode({"pixel_values": pixels})
    np.savez_compressed(directory / "reference.npz", pixel_values=pixels, image_embeds=embeds, **more)


def test_the_same_embeddings_pass_and_are_told(directory, parts, tmp_path):
    encoder, model, session = parts
    leave_reference(directory, session)
    outcome = reference.check(directory, model, encoder, session.encode, "this one")
    assert outcome.lowest_cosine == pytest.approx(1)
    assert (outcome.samples, outcome.limit, outcome.processor) == (3, 0.9999, "this one")
    reference.record(outcome, tmp_path / "place")
    found = reference.recorded(tmp_path / "place", (IMAGE_ENCODER, TEXT_ENCODER), encoder.identity)
    assert found == {IMAGE_ENCODER: dataclasses.asdict(outcome)}
    assert reference.recorded(tmp_path / "place", (IMAGE_ENCODER,), "another@0123") == {}


def test_other_embeddings_are_refused_with_the_processor_named(directory, parts):
    encoder, model, session = parts
    leave_reference(directory, session)

    def saturated(inputs):
        rows = session.encode(inputs) + np.linspace(0, 0.2, encoder.embedding_dim, dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    with pytest.raises(ConfigError, match=r"of small@.* in fp32 gives other embeddings on Old CPU \(avx2\) "):
        reference.check(directory, model, encoder, saturated, "Old CPU (avx2)")


def test_embeddings_that_are_no_numbers_are_refused(directory, parts):
    encoder, model, session = parts
    leave_reference(directory, session)
    with pytest.raises(ConfigError, match=r"cosine with FP32 is nan, must be >= 0.9999; serve an FP32 build"):
        reference.check(directory, model, encoder, lambda inputs: np.full((1, 24), np.nan, np.float32), "this one")


def test_a_directory_of_an_older_build_is_served_unchecked_with_a_warning(directory, parts, caplog):
    encoder, model, session = parts
    assert reference.check(directory, model, encoder, session.encode, "this one") is None
    assert "has no reference.npz, so image_encoder is served unchecked" in caplog.text


def test_a_damaged_reference_is_named(directory):
    (directory / "reference.npz").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"reference.npz cannot be read \(.*\); build the encoder directory again"):
        reference.read_reference(directory)


def test_slow_encoders_are_compared_on_one_sample(directory, parts):
    encoder, model, session = parts
    leave_reference(directory, session)
    read = reference.read_reference(directory)
    assert reference.compare(read, model, encoder, session.encode, "this one", budget_s=0).samples == 1


@pytest.mark.parametrize(
    ("precision", "built", "limit"),
    [("fp32", 0.5, 0.9999), ("int8", 1.0, 0.98), ("int8", 0.97, 0.95), ("fp8", 0.999, 0.979)],
)
def test_int8_may_fall_a_little_below_what_the_build_measured(precision, built, limit):
    assert reference.served_limit(precision, built) == pytest.approx(limit)


def test_a_place_that_cannot_be_written_stops_nothing(directory, parts, tmp_path, caplog):
    encoder, model, session = parts
    leave_reference(directory, session)
    outcome = reference.check(directory, model, encoder, session.encode, "this one")
    (tmp_path / "file").touch()
    reference.record(outcome, tmp_path / "file")
    assert "what the comparison with FP32 found cannot be written" in caplog.text
    reference.record(outcome, None)
    assert reference.recorded(None, (IMAGE_ENCODER,), encoder.identity) == {}


def test_a_processor_is_named_with_what_int8_depends_on(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nmodel name\t: Xeon E5-2690 v4\nflags\t\t: fpu sse2 avx2 bmi2\n")
    assert processor_name(path) == "Xeon E5-2690 v4 (avx2)"
    path = tmp_path / "other"
    path.write_text("model name : Old\nflags : fpu\n")
    assert processor_name(path) == "Old (no INT8 instructions)"
    assert processor_name(tmp_path / "none")


def test_a_gpu_is_named_as_its_driver_does(tmp_path):
    assert gpu_name(tmp_path) is None
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA H100 PCIe\nIRQ: 1\n")
    assert gpu_name(tmp_path) == "NVIDIA H100 PCIe"
