"""Triton adapter of `image_encoder` in the embedded stack."""

from __future__ import annotations

import os
from typing import Any

import triton_python_backend_utils as pb_utils

from product_match.contract.encoder import IMAGE_ONNX_FILE, load_encoder
from product_match.contract.models import IMAGE_ENCODER, composing_model
from product_match.encoding.session import EncoderSession
from product_match.triton.batches import BatchServer
from product_match.triton.observation import observe
from product_match.triton.process import prepare_process
from product_match.triton.proof import prove
from product_match.triton.services import EncoderService
from product_match.triton.settings import model_settings


class TritonPythonModel:
    """Encodes photos with ONNX Runtime."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the session from the encoder directory, and compare it with FP32."""
        prepare_process(pb_utils)
        settings = model_settings(args, os.environ)
        encoder = load_encoder(settings.encoder_directory)
        spec = composing_model(encoder, IMAGE_ENCODER)
        session = EncoderSession(settings.encoder_directory / IMAGE_ONNX_FILE, spec, settings.encoder_threads)
        prove(settings, encoder, spec, session.encode)
        self._observation = observe(pb_utils, IMAGE_ENCODER, settings)
        self._server = BatchServer(
            pb_utils, spec, EncoderService(spec, session), options=None, tracer=self._observation.tracer
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer one batch."""
        return self._server.execute(requests)

    def finalize(self) -> None:
        """Tell what was counted last."""
        self._observation.close()
