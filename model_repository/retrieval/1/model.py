"""Triton adapter of `retrieval`."""

from __future__ import annotations

import os
from typing import Any

import triton_python_backend_utils as pb_utils

from product_match.catalogue.opening import open_for_retrieval
from product_match.contract.access import Scope
from product_match.contract.encoder import load_encoder
from product_match.contract.models import RETRIEVAL, composing_model
from product_match.contract.options import MATCH_OPTIONS
from product_match.recording.answers import open_recorder
from product_match.recording.failures import open_failures
from product_match.retrieval.service import RetrievalService
from product_match.triton.access import open_gate
from product_match.triton.batches import BatchServer
from product_match.triton.observation import observe
from product_match.triton.process import prepare_process
from product_match.triton.settings import model_settings


class TritonPythonModel:
    """Searches and joins; with the index in process it also owns that index."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the catalogue that the settings name."""
        prepare_process(pb_utils)
        settings = model_settings(args, os.environ)
        encoder = load_encoder(settings.encoder_directory)
        self._catalogue = open_for_retrieval(settings, encoder)
        catalogue = self._catalogue
        self._failures = open_failures(settings, RETRIEVAL)
        service = RetrievalService(
            encoder,
            catalogue.index,
            catalogue.products,
            lambda: catalogue.statistics.current,
            catalogue.language,
            open_recorder(settings, self._failures.writer),
            lambda: catalogue.rules.current,
        )
        spec = composing_model(encoder, RETRIEVAL)
        self._observation = observe(pb_utils, RETRIEVAL, settings)
        gate = open_gate(settings, RETRIEVAL, Scope.SEARCH)
        self._server = BatchServer(
            pb_utils, spec, service, MATCH_OPTIONS, self._failures, tracer=self._observation.tracer, gate=gate
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer one batch."""
        return self._server.execute(requests)

    def finalize(self) -> None:
        """Close the catalogue."""
        self._observation.close()
        self._catalogue.close()
        self._failures.close()
