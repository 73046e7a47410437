"""The one place where pymongo's errors become the project's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bson.errors import BSONError
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidURI,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

from product_match.contract.errors import ConfigError, InvalidRequestError, ProductMatchError, UnavailableError
from product_match.contract.metrics import DOCUMENTS
from product_match.telemetry.meters import STORE_ERRORS

DUPLICATE_KEY: Final = 11000
"""MongoDB's code for a document whose id is there already."""

_UNREACHABLE: Final = (
    AutoReconnect,
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    WaitQueueTimeoutError,
    WTimeoutError,
)
_AUTHENTICATION_FAILED: Final = 18
_UNAUTHORIZED: Final = 13
_DETAIL_CHARACTERS: Final = 200
_ERRORS: Final = STORE_ERRORS.labels(DOCUMENTS)


@contextmanager
def document_errors(action: str) -> Iterator[None]:
    """Turn pymongo's errors into the project's.

    Args:
        action: What was being done, for the message, such as "reading products".
    """
    try:
        yield
    except BSONError as error:
        raise InvalidRequestError(f"{action}: not storable ({_detail(error)})") from error
    except PyMongoError as error:
        _ERRORS.inc()
        raise _failure(action, error) from error


def _failure(action: str, error: PyMongoError) -> ProductMatchError:
    detail = _detail(error)
    if isinstance(error, _UNREACHABLE):
        return UnavailableError(
            f"document store: {action} failed because it does not answer ({detail}); try again, "
            "and check that it runs if this goes on"
        )
    if isinstance(error, ConfigurationError | InvalidURI):
        return ConfigError(f"document store: its URI is wrong ({detail}); correct it")
    if isinstance(error, OperationFailure) and error.code in (_AUTHENTICATION_FAILED, _UNAUTHORIZED):
        return ConfigError(f"document store: {action} is not allowed ({detail}); check user, password and roles")
    return ProductMatchError(f"document store: {action} failed ({detail})")


def _detail(error: Exception) -> str:
    """Return the start of a message: a bulk error's text repeats whole documents, topologies run over lines."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _DETAIL_CHARACTERS else text[:_DETAIL_CHARACTERS] + "..."
