"""Triton adapter of `indexing`."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import triton_python_backend_utils as pb_utils

from product_match.catalogue.opening import open_for_writing
from product_match.contract.access import Scope
from product_match.contract.encoder import load_encoder
from product_match.contract.models import INDEXING, composing_model
from product_match.contract.options import INDEX_OPTIONS
from product_match.encoder_change.writers import held_until_served
from product_match.indexing.service import IndexingService
from product_match.triton.access import open_gate
from product_match.triton.batches import BatchServer
from product_match.triton.observation import observe
from product_match.triton.process import prepare_process
from product_match.triton.proof import encoded_on
from product_match.triton.settings import model_settings


class TritonPythonModel:
    """Writes products."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the catalogue that the settings name."""
        prepare_process(pb_utils)
        settings = model_settings(args, os.environ)
        encoder = load_encoder(settings.encoder_directory)
        self._catalogue = open_for_writing(settings, encoder)
        encoded = partial(encoded_on, settings, encoder)
        writing = IndexingService(self._catalogue.documents, self._catalogue.owner, encoded)
        service = held_until_served(writing, self._catalogue.gate)
        self._observation = observe(pb_utils, INDEXING, settings)
        gate = open_gate(settings, INDEXING, Scope.WRITE)
        self._server = BatchServer(
            pb_utils,
            composing_model(encoder, INDEXING),
            service,
            INDEX_OPTIONS,
            tracer=self._observation.tracer,
            gate=gate,
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer one batch."""
        return self._server.execute(requests)

    def finalize(self) -> None:
        """Close the catalogue."""
        self._observation.close()
        self._catalogue.close()
