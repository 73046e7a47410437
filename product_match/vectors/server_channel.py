"""Calls to a Qdrant server: deadlines below a second, and retries of what can be retried within the time left."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from qdrant_client import grpc as qdrant

from product_match.contract.errors import ConfigError, ProductMatchError, UnavailableError
from product_match.contract.metrics import VECTORS
from product_match.telemetry.meters import STORE_ERRORS

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_ATTEMPT: Final = 0.6
"""Share of the time that the first attempt may take, so that a lost answer leaves time for another."""

BACKOFF_S: Final = 0.02
MAX_BACKOFF_S: Final = 0.2

_ERRORS: Final = STORE_ERRORS.labels(VECTORS)
_RETRIED: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_REFUSED: Final = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_BUSY: Final = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED)
_OPTIONS: Final = (
    # A server that comes back is found within a second, not after gRPC's own two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    ("grpc.max_send_message_length", 256 * 1024 * 1024),
)


class QdrantChannel:
    """A connection to a server, and its two services."""

    def __init__(self, address: str, api_key: str = "", ca_file: Path | None = None) -> None:
        """Connect lazily.

        Args:
            address: `host:port`, which `https://` before it encrypts.
            api_key: Sent with every call, if not empty.
            ca_file: Certificates (PEM) that the server's goes back to; those of the system unless given.

        Raises:
            ConfigError: The address is no host and port, or the certificates cannot be read.
        """
        scheme, _, rest = address.rpartition("://")
        host, _, port = rest.rpartition(":")
        if scheme not in ("", "http", "https") or not host or not port.isdigit():
            raise ConfigError(
                f"the Qdrant server's address must be host:port or https://host:port (its gRPC port), got {address!r}"
            )
        self.address = rest
        if scheme == "https":
            trusted = grpc.ssl_channel_credentials(_certificates(ca_file))
            self._channel = grpc.secure_channel(rest, trusted, options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(rest, options=_OPTIONS)
        self._metadata = (("api-key", api_key),) if api_key else ()
        self.points: Any = qdrant.PointsStub(self._channel)  # type: ignore[no-untyped-call]
        self.collections: Any = qdrant.CollectionsStub(self._channel)  # type: ignore[no-untyped-call]

    def call(self, method: Callable[..., T], request: object, timeout_s: float) -> T:
        """Call a method of a service; every one used here may be repeated safely.

        Args:
            method: Such as `channel.points.QueryBatch`.
            request: Its message.
            timeout_s: Longest time for all attempts together.

        Raises:
            UnavailableError: No answer in time.
            ConfigError: The server refuses the key.
            ProductMatchError: The server refuses the request.
        """
        give_up = time.monotonic() + timeout_s
        attempt_s = timeout_s * FIRST_ATTEMPT
        backoff_s = BACKOFF_S
        while True:
            try:
                return method(request, timeout=attempt_s, metadata=self._metadata)
            except grpc.RpcError as error:
                pause_s = random.uniform(0, backoff_s)
                left_s = give_up - time.monotonic() - pause_s
                if error.code() not in _RETRIED or left_s <= 0:
                    _ERRORS.inc()
                    raise self._error(error, timeout_s) from error
                logger.debug("a call to the Qdrant server is repeated: %s", error.details())
            time.sleep(pause_s)
            backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
            attempt_s = left_s

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _error(self, error: grpc.RpcError, timeout_s: float) -> ProductMatchError:
        code, details = error.code(), error.details()
        if code in _RETRIED:
            return UnavailableError(
                f"vector index: the Qdrant server at {self.address} did not answer within {timeout_s:.2g} s "
                f"({details}); try again, and check that it runs if this goes on"
            )
        if code in _BUSY:
            return UnavailableError(
                f"vector index: the Qdrant server at {self.address} is busy ({details}); try again"
            )
        if code in _REFUSED:
            return ConfigError(
                f"vector index: the Qdrant server at {self.address} refuses the API key ({details}); correct it"
            )
        return ProductMatchError(f"vector index: the Qdrant server at {self.address} failed: {code.name} ({details})")


def _certificates(ca_file: Path | None) -> bytes | None:
    if ca_file is None:
        return None
    try:
        return ca_file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{ca_file} cannot be read ({error.strerror}); give the Qdrant server's authority in PEM"
        ) from error
