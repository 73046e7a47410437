"""Ctrl-C, SIGTERM and SIGHUP: remembered while the stack starts and stops, raised as KeyboardInterrupt elsewhere."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Takes the stop signals between `install` and `restore`; does nothing outside the main thread."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._deferred = 0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """True once a stop signal came."""
        return self._requested.is_set()

    def install(self) -> None:
        """Take the signals."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def wait(self, timeout_s: float) -> bool:
        """Wait for a stop signal; True if one has come."""
        return self._requested.wait(timeout_s)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Only remember a signal inside this block."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._requested.set()
        if not self._deferred:
            raise KeyboardInterrupt
