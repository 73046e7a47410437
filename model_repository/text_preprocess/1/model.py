"""Triton adapter of `text_preprocess`."""

from __future__ import annotations

import os
from typing import Any

import triton_python_backend_utils as pb_utils

from product_match.contract.access import Scope
from product_match.contract.encoder import load_encoder
from product_match.contract.models import TEXT_PREPROCESS, composing_model
from product_match.preprocessing.texts import TextPreprocessor
from product_match.recording.failures import open_failures
from product_match.triton.access import open_gate
from product_match.triton.admission import open_admission
from product_match.triton.batches import BatchServer
from product_match.triton.observation import observe
from product_match.triton.process import prepare_process
from product_match.triton.services import TextPreprocessService
from product_match.triton.settings import model_settings


class TritonPythonModel:
    """Tokenises words."""

    def initialize(self, args: dict[str, str]) -> None:
        """Build the service from the settings."""
        prepare_process(pb_utils)
        settings = model_settings(args, os.environ)
        encoder = load_encoder(settings.encoder_directory)
        preprocessor = TextPreprocessor(encoder, settings.encoder_directory)
        service = TextPreprocessService(preprocessor, open_admission(settings.metrics_address))
        self._failures = open_failures(settings, TEXT_PREPROCESS)
        spec = composing_model(encoder, TEXT_PREPROCESS)
        self._observation = observe(pb_utils, TEXT_PREPROCESS, settings)
        gate = open_gate(settings, TEXT_PREPROCESS, Scope.SEARCH, Scope.WRITE, counts=True)
        self._server = BatchServer(
            pb_utils,
            spec,
            service,
            failures=self._failures,
            tracer=self._observation.tracer,
            gate=gate,
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer one batch."""
        return self._server.execute(requests)

    def finalize(self) -> None:
        """Tell what was counted last, and write what is left of the event log."""
        self._observation.close()
        self._failures.close()
