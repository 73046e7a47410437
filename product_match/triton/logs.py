"""Sends the package's log records to Triton's log."""

from __future__ import annotations

import logging
from typing import Any


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
    root = logging.getLogger("product_match")
    if not any(isinstance(handler, TritonHandler) for handler in root.handlers):
        root.addHandler(TritonHandler(pb_utils.Logger))
        root.setLevel(logging.INFO)
