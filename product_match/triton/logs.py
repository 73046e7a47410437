"""Sends the package's log records to Triton's log."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from product_match.contract.errors import InvalidRequestError, ProductMatchError
from product_match.telemetry.log_lines import JsonFormatter

REQUESTS: Final = logging.getLogger("product_match.requests")
"""Of each request that fails, and at the level of debugging of each that is answered; only in a log of JSON lines."""

MOST_A_SECOND: Final = 20
"""Lines of failed requests; a line costs a request's time, and thousands are no more to read than some."""

_LOGGED: Final = ("product_match", "opentelemetry")


class TritonHandler(logging.Handler):
    """Forwards records to `pb_utils.Logger`."""

    def __init__(self, logger: Any) -> None:
        """Forward to `logger`, which is `pb_utils.Logger`."""
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record at the nearest of Triton's levels."""
        try:
            text = self.format(record)
            if record.levelno >= logging.ERROR:
                self._logger.log_error(text)
            elif record.levelno >= logging.WARNING:
                self._logger.log_warn(text)
            else:
                self._logger.log_info(text)
        except Exception:
            self.handleError(record)


def forward_logs(pb_utils: Any) -> None:
    """Attach one handler for the package's loggers; a second call changes nothing."""
    for name in _LOGGED:
        logger = logging.getLogger(name)
        if not any(isinstance(handler, TritonHandler) for handler in logger.handlers):
            logger.addHandler(TritonHandler(pb_utils.Logger))
            logger.setLevel(logging.INFO if name == _LOGGED[0] else logging.WARNING)
    REQUESTS.setLevel(logging.CRITICAL)


def log_json_lines(model: str, level: str) -> None:
    """Have the process of a model log JSON lines from `level` on, one of `settings.LOG_LEVELS`, requests included."""
    for name in _LOGGED:
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, TritonHandler):
                handler.setFormatter(JsonFormatter(model=model))
    logging.getLogger(_LOGGED[0]).setLevel(level.upper())
    REQUESTS.setLevel(level.upper())


class RequestLog:
    """Logs the requests that fail, and so many a second at most; what was sent stands in no line."""

    def __init__(self) -> None:
        """Begin."""
        self._second, self._lines, self._left_out = 0, 0, 0

    def failed(self, request_id: str, error: ProductMatchError) -> None:
        """Log one that failed. What is wrong with a request may quote it, so its message is left out."""
        if not REQUESTS.isEnabledFor(logging.INFO):
            return
        second = int(time.monotonic())
        if second != self._second:
            if self._left_out:
                REQUESTS.info("%s more requests failed", self._left_out)
            self._second, self._lines, self._left_out = second, 0, 0
        self._lines += 1
        if self._lines > MOST_A_SECOND:
            self._left_out += 1
            return
        why = "the request has to be changed" if isinstance(error, InvalidRequestError) else str(error)
        REQUESTS.info("failed: %s", why, extra={"request": request_id, "code": error.triton_code})
