"""Every error the project raises.

    ProductMatchError                INTERNAL
    +-- InvalidRequestError          INVALID_ARG   the caller sent something that cannot be served
    |   +-- UnauthenticatedError                   no key came where one is needed, or one that is not known (401)
    |   +-- ForbiddenError                         the key may not do this (403)
    +-- NotFoundError                NOT_FOUND     the product or the model named is not there
    +-- UnavailableError             UNAVAILABLE   a store or the server is down, busy or too slow; try again
    |   +-- CancelledError                         a rebuild was stopped because another took its place
    |   +-- TooManyRequestsError                   the key is used more often than it may be (429)
    |   +-- ExpiredError                           the client no longer waits, so its request was not begun
    +-- ConfigError                  INTERNAL      settings, an encoder directory or a state directory is wrong
    |   +-- DamagedIndexError                      the files of a vector index cannot be read
    |   +-- PlatformError                          this machine cannot run the local stack
    +-- StackError                   INTERNAL      a process of the local stack did not start or died
    +-- BuildError                   INTERNAL      a checkpoint cannot be turned into encoders
        +-- CheckpointError                        unsupported, missing or damaged checkpoint
        +-- ParityError                            names, shapes, values, pixels or tokens differ
        +-- PrecisionError                         a lower precision costs too much quality
        +-- EngineError                            a TensorRT engine cannot be built or does not fit

A message says what was wrong, what was expected, what came, and what to do. Triton has no code for some of these, and
over `generate` makes every one a 400: so the text on the wire begins with the class's own, as in `[forbidden] ...`.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import ClassVar, Final


class ProductMatchError(Exception):
    """Base of all errors; on its own it means a fault of the server, not of the caller."""

    triton_code: ClassVar[str] = "INTERNAL"
    wire_code: ClassVar[str] = "internal"
    """What the text on the wire begins with, in brackets; nothing where it is empty."""


class InvalidRequestError(ProductMatchError):
    """The caller sent something that cannot be served; the message says what to change."""

    triton_code = "INVALID_ARG"
    wire_code = ""


class UnauthenticatedError(InvalidRequestError):
    """No key came where one is needed, or one that is not known or no longer good."""

    wire_code = "unauthenticated"


class ForbiddenError(InvalidRequestError):
    """The key is good, and not for this."""

    wire_code = "forbidden"


class NotFoundError(ProductMatchError):
    """The product or the model named by the caller does not exist."""

    triton_code = "NOT_FOUND"
    wire_code = "not_found"


class UnavailableError(ProductMatchError):
    """A store or the server is down, busy or too slow; the same request may work later."""

    triton_code = "UNAVAILABLE"
    wire_code = "unavailable"


class CancelledError(UnavailableError):
    """A rebuild was stopped, because the server ends or another took its place."""


class TooManyRequestsError(UnavailableError):
    """The key is used more often than it may be; the same request may work in a moment."""

    wire_code = "too_many_requests"


class ExpiredError(UnavailableError):
    """The deadline that the client sent has passed, so the request was not begun."""

    wire_code = "expired"


class ConfigError(ProductMatchError):
    """Settings, an encoder directory or a state directory is wrong; nothing is served until it is mended."""


class DamagedIndexError(ConfigError):
    """The files of a vector index cannot be read; the documents can derive a new one."""


class PlatformError(ConfigError):
    """This machine cannot run the local stack."""


class StackError(ProductMatchError):
    """A process of the local stack did not start, or died."""


class BuildError(ProductMatchError):
    """A checkpoint cannot be turned into encoders that may be served."""


class CheckpointError(BuildError):
    """The checkpoint is unsupported, incomplete or damaged."""


class ParityError(BuildError):
    """Names, shapes, values, pixels or tokens differ from the checkpoint's own."""


class PrecisionError(BuildError):
    """A lower precision loses more quality than the gate allows."""


class EngineError(BuildError):
    """A TensorRT engine cannot be built, or does not fit the server that would run it."""


def unforeseen(logger: logging.Logger, what: str) -> ProductMatchError:
    """Log the exception that is being handled, which nobody foresaw, with its trace; return what is answered instead.

    Args:
        logger: Where to.
        what: What failed, such as "a photo could not be read".
    """
    logger.error("%s", what, exc_info=sys.exc_info())
    return ProductMatchError("internal error; the server's log has the details")


def in_row(error: ProductMatchError, row: int, rows: int) -> ProductMatchError:
    """Return the error of one row of a request, with the row's number where the request has several."""
    text = str(error)
    return error if rows == 1 or text.startswith(f"row {row}: ") else type(error)(f"row {row}: {text}")


def error_classes() -> list[type[ProductMatchError]]:
    """Return every class of the tree, the base first, in the order of definition."""
    found: list[type[ProductMatchError]] = [ProductMatchError]
    for error in found:
        found.extend(error.__subclasses__())
    return found


_WIRE: Final = re.compile(r"\[([a-z_]+)\] ")


def wire_text(error: ProductMatchError) -> str:
    """Return what a server answers: the message, after the code of its class where that has one."""
    return f"[{error.wire_code}] {error}" if error.wire_code else str(error)


def from_wire_text(text: str) -> tuple[type[ProductMatchError] | None, str]:
    """Return the class whose code a text begins with, None where it begins with none, and the message."""
    found = _WIRE.match(text)
    classes = {error.wire_code: error for error in reversed(error_classes()) if error.wire_code}
    if found is None or found[1] not in classes:
        return None, text
    return classes[found[1]], text[found.end() :]
