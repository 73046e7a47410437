"""From what tritonclient raises to the project's own errors. Decides by code, status and class, not by words."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from tritonclient.utils import InferenceServerException

from product_match.contract.errors import (
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    ProductMatchError,
    UnavailableError,
    from_wire_text,
)

# Triton answers INVALID_ARG, and also UNKNOWN, ALREADY_EXISTS and CANCELLED, with 400.
HTTP_CLASSES: Final[Mapping[int, type[ProductMatchError]]] = {
    400: InvalidRequestError,
    404: NotFoundError,
    408: UnavailableError,
    413: InvalidRequestError,
    429: UnavailableError,
    499: UnavailableError,
    501: InvalidRequestError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}

GRPC_CLASSES: Final[Mapping[str, type[ProductMatchError]]] = {
    "CANCELLED": UnavailableError,
    "UNKNOWN": ProductMatchError,
    "INVALID_ARGUMENT": InvalidRequestError,
    "DEADLINE_EXCEEDED": UnavailableError,
    "NOT_FOUND": NotFoundError,
    "ALREADY_EXISTS": InvalidRequestError,
    "PERMISSION_DENIED": ProductMatchError,
    "UNAUTHENTICATED": ProductMatchError,
    "RESOURCE_EXHAUSTED": UnavailableError,
    "FAILED_PRECONDITION": InvalidRequestError,
    "ABORTED": UnavailableError,
    "OUT_OF_RANGE": InvalidRequestError,
    "UNIMPLEMENTED": InvalidRequestError,
    "INTERNAL": ProductMatchError,
    "UNAVAILABLE": UnavailableError,
    "DATA_LOSS": ProductMatchError,
}

_ENSEMBLE_PREFIX: Final = re.compile(r"\A(?:in ensemble '[^']*', )+")
_GRPC_STATUS: Final = "StatusCode."


def error_class(status: str | None) -> type[ProductMatchError]:
    """Return the class for a status of tritonclient: "400", "StatusCode.NOT_FOUND", or none at all."""
    if status is None:
        return ProductMatchError
    if status.startswith(_GRPC_STATUS):
        return GRPC_CLASSES.get(status[len(_GRPC_STATUS) :], ProductMatchError)
    if not status.isdigit():
        return ProductMatchError
    code = int(status)
    return HTTP_CLASSES.get(code, InvalidRequestError if 405 <= code < 500 else ProductMatchError)


def from_server(error: InferenceServerException, url: str) -> ProductMatchError:
    """Return the project's error for an answer that was not a success."""
    coded, message = from_wire_text(_ENSEMBLE_PREFIX.sub("", str(error.message() or "")).strip())
    found = coded or error_class(error.status())
    return found(message or f"the server at {url} failed with status {error.status()} and no message; see its log")


def another_protocol(url: str) -> ConfigError:
    """Return the project's error for an address that answers, and not in HTTP: asking it again is of no use."""
    scheme, _, address = url.partition("://")
    return ConfigError(
        f"{url} answers in another protocol than HTTP; if that is the gRPC port, write "
        f"{'grpcs' if scheme == 'https' else 'grpc'}://{address}, else give the HTTP port"
    )


def unreachable(error: Exception, url: str, timeout_s: float) -> UnavailableError:
    """Return the project's error for a connection that was refused, broken or too slow."""
    if isinstance(error, TimeoutError | asyncio.TimeoutError):  # two classes in Python 3.10
        return UnavailableError(
            f"the server at {url} did not answer within {timeout_s:g} s; try again, or allow more time"
        )
    reason = str(error).strip() or type(error).__name__
    return UnavailableError(
        f"no server answers at {url} ({reason}); start one with `product-match serve`, or give its address"
    )
