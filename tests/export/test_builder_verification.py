"""Encoders served by Triton against the FP32 embeddings that the build left behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from ensemble_builder.command import main
from ensemble_builder.embeddings import Encoders
from ensemble_builder.verification import verify, write_reference
from product_match.contract.errors import ConfigError, ParityError, UnavailableError


class EncodersOverGrpc:
    """Answers as Triton would, from the ONNX files of a directory."""

    def __init__(self, directory, noise=0.0, failure=None):
        self.encoders = Encoders.load(directory)
        self.noise = noise
        self.failure = failure
        self.asked = []

    def __call__(self, url):
        self.asked.append(url)
        return self

    def infer(self, model, inputs, client_timeout):
        if self.failure:
            raise InferenceServerException(self.failure)
        tensors = {}
        for entry in inputs:
            dtype = {"UINT8": np.uint8, "INT32": np.int32}[entry.datatype()]
            tensors[entry.name()] = np.frombuffer(entry._get_content(), dtype).reshape(entry.shape())
        rows = (self.encoders.image if model == "image_encoder" else self.encoders.text)(tensors)
        rows = rows + self.noise * np.random.default_rng(0).normal(size=rows.shape)
        answer = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return type("Answer", (), {"as_numpy": lambda _, name: answer})()

    def close(self):
        pass


@pytest.fixture
def reference(clip_encoder, clip_copy, clip_samples):
    write_reference(clip_copy, Encoders.load(clip_encoder.directory), clip_samples)
    return clip_copy


@pytest.fixture
def triton(monkeypatch, reference):
    server = EncodersOverGrpc(reference)
    monkeypatch.setattr(tritonclient.grpc, "InferenceServerClient", server)
    return server


def test_the_same_encoders_pass(capsys, reference, triton):
    assert main(["verify", "--directory", str(reference), "--url", "triton:8001"]) == 0
    assert capsys.readouterr().out.startswith("image_encoder  lowest cosine with FP32 1.0000")
    assert triton.asked == ["triton:8001", "triton:8001"]


def test_other_embeddings_are_refused_with_their_cosine(clip_encoder, reference, triton):
    triton.noise = 0.01
    spec = dataclasses.replace(clip_encoder.spec, precision="fp16")
    with pytest.raises(
        ParityError, match=r"served at t:1 differ from FP32: image_encoder has a cosine of 0\.9\d+, must"
    ):
        verify(reference, spec, "t:1")
    spec = dataclasses.replace(clip_encoder.spec, precision="fp8")
    assert min(verify(reference, spec, "t:1").values()) >= 0.99


def test_embeddings_that_are_not_numbers_are_refused(clip_encoder, reference, triton):
    triton.noise = np.nan
    with pytest.raises(ParityError, match=r"image_encoder has a cosine of nan"):
        verify(reference, clip_encoder.spec, "t:1")


def test_a_server_that_does_not_answer_is_named(clip_encoder, reference, triton):
    triton.failure = "failed to connect"
    with pytest.raises(
        UnavailableError, match=r"image_encoder at t:1 does not answer \(failed to connect\); start Triton"
    ):
        verify(reference, clip_encoder.spec, "t:1")


def test_a_directory_without_reference_says_who_writes_it(clip_encoder, clip_copy):
    with pytest.raises(ConfigError, match=r"reference.npz cannot be read .*build --target tensorrt` writes it"):
        verify(clip_copy, clip_encoder.spec, "t:1")
