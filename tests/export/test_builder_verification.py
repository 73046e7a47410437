"""Encoders served by Triton against the FP32 embeddings that the build left behind."""

from __future__ import annotations

import dataclasses
import signal
import subprocess

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from ensemble_builder.command import main
from ensemble_builder.embeddings import Encoders
from ensemble_builder.verification import verify, wait_ready, write_reference
from product_match.contract.errors import ConfigError, ParityError, UnavailableError
from product_match.encoding.reference import recorded


class EncodersOverGrpc:
    """Answers as Triton would, from the ONNX files of a directory."""

    def __init__(self, directory, noise=0.0, failure=None):
        self.encoders = Encoders.load(directory)
        self.noise = noise
        self.failure = failure
        self.asked = []
        self.ready = True

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

    def is_server_ready(self):
        return self.ready

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
    assert set(triton.asked) == {"triton:8001"}


def test_other_embeddings_are_refused_with_their_cosine(clip_encoder, reference, triton):
    triton.noise = 0.01
    spec = dataclasses.replace(clip_encoder.spec, precision="fp16")
    with pytest.raises(ParityError, match=r"served at t:1: image_encoder of .* in fp16 gives other embeddings"):
        verify(reference, spec, "t:1")
    spec = dataclasses.replace(clip_encoder.spec, precision="fp8")
    assert min(verify(reference, spec, "t:1").values()) >= 0.99


def test_embeddings_that_are_not_numbers_are_refused(clip_encoder, reference, triton):
    triton.noise = np.nan
    with pytest.raises(ParityError, match=r"the lowest cosine with FP32 is nan, must be >= 0.9999"):
        verify(reference, clip_encoder.spec, "t:1")


def test_a_server_that_does_not_answer_is_named(clip_encoder, reference, triton):
    triton.failure = "failed to connect"
    with pytest.raises(
        UnavailableError, match=r"image_encoder at t:1 does not answer \(failed to connect\); start Triton"
    ):
        verify(reference, clip_encoder.spec, "t:1")


def test_a_directory_without_reference_says_who_writes_it(clip_encoder, clip_copy):
    (clip_copy / "reference.npz").unlink()
    with pytest.raises(ConfigError, match=r"has no reference.npz; `ensemble-builder build` writes it where photos"):
        verify(clip_copy, clip_encoder.spec, "t:1")


def test_what_was_found_is_written_for_the_status(clip_encoder, reference, triton, tmp_path):
    verify(reference, clip_encoder.spec, "t:1", tmp_path / "place")
    found = recorded(tmp_path / "place", ("image_encoder", "text_encoder"), clip_encoder.spec.identity)
    assert {proof["precision"] for proof in found.values()} == {"fp32"}
    assert min(proof["lowest_cosine"] for proof in found.values()) > 0.9999


def test_a_guard_ends_the_server_whose_encoders_differ(capsys, reference, triton):
    triton.noise = 0.5
    with subprocess.Popen(["sleep", "60"]) as server:
        assert main(["verify", "--directory", str(reference), "--wait", "5", "--guard", str(server.pid)]) == 1
        assert server.wait(10) == -signal.SIGTERM
    assert "gives other embeddings on" in capsys.readouterr().err


def test_a_guard_leaves_a_server_alone_whose_encoders_are_right(reference, triton):
    with subprocess.Popen(["sleep", "60"]) as server:
        assert main(["verify", "--directory", str(reference), "--wait", "5", "--guard", str(server.pid)]) == 0
        assert server.poll() is None
        server.kill()


def test_nobody_waits_for_a_server_that_has_ended(triton):
    triton.ready = False
    with subprocess.Popen(["true"]) as server:
        server.wait()
    with pytest.raises(UnavailableError, match=r"Triton \(process \d+\) has ended before it was ready; see its log"):
        wait_ready("t:1", 60, server.pid)


def test_a_server_that_is_never_ready_is_named(triton):
    triton.ready = False
    with pytest.raises(UnavailableError, match=r"Triton at t:1 was not ready within 0.1 s; see its log"):
        wait_ready("t:1", 0.1)
