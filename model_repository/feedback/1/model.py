"""Triton adapter of `feedback`."""

from __future__ import annotations

import os
from typing import Any

import triton_python_backend_utils as pb_utils

from product_match.contract.access import Scope
from product_match.contract.encoder import load_encoder
from product_match.contract.models import FEEDBACK, composing_model
from product_match.feedback.opening import open_feedback
from product_match.recording.failures import open_failures
from product_match.triton.access import open_gate
from product_match.triton.batches import BatchServer
from product_match.triton.observation import observe
from product_match.triton.process import prepare_process
from product_match.triton.settings import model_settings


class TritonPythonModel:
    """Takes feedback."""

    def initialize(self, args: dict[str, str]) -> None:
        """Build the service from the settings."""
        prepare_process(pb_utils)
        settings = model_settings(args, os.environ)
        spec = composing_model(load_encoder(settings.encoder_directory), FEEDBACK)
        self._feedback = open_feedback(settings)
        self._failures = open_failures(settings, FEEDBACK)
        self._observation = observe(pb_utils, FEEDBACK, settings)
        gate = open_gate(settings, FEEDBACK, Scope.SEARCH, counts=True)
        self._server = BatchServer(
            pb_utils, spec, self._feedback.service, (), self._failures, tracer=self._observation.tracer, gate=gate
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer one batch."""
        return self._server.execute(requests)

    def finalize(self) -> None:
        """Close the store."""
        self._observation.close()
        self._feedback.close()
        self._failures.close()
