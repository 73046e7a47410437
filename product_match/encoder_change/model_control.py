"""Loads and unloads models of the running Triton, over gRPC: an HTTP thread would be held, and requests behind it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from product_match.contract.errors import StackError
from product_match.triton.flags import ADMIN_HEADER

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 60.0
_GRPC_PREFIX: Final = "triton-grpc-protocol-"


class ModelControl:
    """Triton's model control, for whoever has the admin key."""

    def __init__(self, grpc_address: str, admin_key: str) -> None:
        """Control the Triton that answers at `grpc_address`."""
        self._client = InferenceServerClient(grpc_address)
        self._headers: Mapping[str, str] = {_GRPC_PREFIX + ADMIN_HEADER: admin_key}

    def __enter__(self) -> ModelControl:
        """Return the control itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def load(self, model: str) -> None:
        """Load a model, or load it again; the one before answers until the new one is ready.

        Raises:
            StackError: Triton cannot; the one before stays.
        """
        try:
            self._client.load_model(model, headers=self._headers, client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            raise StackError(f"Triton cannot load the model {model} ({error.message()}); see its log") from error
        logger.info("loaded %s", model)

    def unload(self, model: str) -> None:
        """Let a model end once what it is answering is answered.

        Raises:
            StackError: Triton cannot.
        """
        try:
            self._client.unload_model(model, headers=self._headers, client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            raise StackError(f"Triton cannot unload the model {model} ({error.message()}); see its log") from error
        logger.info("unloaded %s", model)
