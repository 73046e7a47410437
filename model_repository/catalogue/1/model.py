"""Triton adapter of `catalogue`."""

from __future__ import annotations

import os
from typing import Any

import triton_python_backend_utils as pb_utils

from product_match.catalogue.event_commands import open_event_access
from product_match.catalogue.gauges import watch_catalogue
from product_match.catalogue.opening import open_for_writing
from product_match.catalogue.service import CatalogueService
from product_match.contract.encoder import load_encoder
from product_match.contract.models import CATALOGUE, composing_model
from product_match.encoder_change.writers import held_until_served
from product_match.triton.access import open_gate
from product_match.triton.batches import BatchServer
from product_match.triton.observation import observe
from product_match.triton.process import prepare_process
from product_match.triton.settings import model_settings


class TritonPythonModel:
    """Performs catalogue commands."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the catalogue that the settings name."""
        prepare_process(pb_utils)
        settings = model_settings(args, os.environ)
        encoder = load_encoder(settings.encoder_directory)
        self._catalogue = open_for_writing(settings, encoder)
        self._events = open_event_access(settings)
        service = held_until_served(CatalogueService(self._catalogue, self._events), self._catalogue.gate)
        self._observation = observe(pb_utils, CATALOGUE, settings)
        gate = open_gate(settings, CATALOGUE, counts=True)
        self._server = BatchServer(
            pb_utils,
            composing_model(encoder, CATALOGUE),
            service,
            options=(),
            tracer=self._observation.tracer,
            gate=gate,
        )
        self._gauges = watch_catalogue(self._catalogue, settings)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer one batch."""
        return self._server.execute(requests)

    def finalize(self) -> None:
        """Close the catalogue."""
        self._gauges.close()
        self._observation.close()
        self._catalogue.close()
        self._events.close()
