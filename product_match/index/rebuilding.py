"""Replacing the vector index by a fresh one in the background, one replacement at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from product_match.contract.errors import ProductMatchError, UnavailableError

logger = logging.getLogger(__name__)

STOP_WAIT_S: Final = 5.0

Report = Callable[[str, int], None]
"""Takes what is being done, and how many points there are."""


class Replacement(Protocol):
    """How an engine replaces its index while it is searched and changed."""

    def rebuild(self, report: Report, cancelled: threading.Event) -> int:
        """Derive a fresh index from the documents, swap it in and return how many points it has.

        Raises:
            ProductMatchError: It did not work, or was cancelled; the index before is still in use.
        """

    def drop(self) -> int:
        """Remove every product from both stores and return how many points there were."""


class Rebuilder:
    """Runs replacements in a thread and tells how they stand."""

    def __init__(self, replacement: Replacement) -> None:
        """Replace by `replacement`."""
        self._replacement = replacement
        self._guard = threading.Lock()
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._state: dict[str, Any] = {"state": "idle"}

    def state(self) -> dict[str, Any]:
        """Return how the rebuild stands: idle, running, done or failed, and the figures that go with it."""
        return dict(self._state)

    def start(self) -> dict[str, Any]:
        """Start a rebuild, unless one is running, and return how it stands."""
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                self._cancelled.clear()
                self._report("starting", 0)
                self._thread = threading.Thread(target=self._run, name="rebuild", daemon=True)
                self._thread.start()
            return self.state()

    def join(self, timeout_s: float) -> bool:
        """Wait until no rebuild is running; return False if one still is after `timeout_s`."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def drop(self) -> int:
        """Remove every product from both stores and return how many points there were.

        Raises:
            UnavailableError: A rebuild that is going on does not stop.
        """
        with self._guard:
            self._cancelled.set()
            if not self.join(STOP_WAIT_S):
                raise UnavailableError("drop: a rebuild is going on and has not stopped yet; try again in a moment")
            return self._replacement.drop()

    def close(self) -> None:
        """Stop a rebuild that is going on."""
        self._cancelled.set()
        self.join(STOP_WAIT_S)

    def _run(self) -> None:
        started = time.monotonic()
        try:
            points = self._replacement.rebuild(self._report, self._cancelled)
            seconds = round(time.monotonic() - started, 1)
            self._state = {"state": "done", "points": points, "seconds": seconds}
            logger.info("the vector index was rebuilt: %d points in %.1f s", points, seconds)
        except ProductMatchError as error:
            self._state = {"state": "failed", "message": str(error)}
            logger.error("the vector index was not rebuilt: %s; the one before is still in use", error)
        except Exception:
            self._state = {"state": "failed", "message": "internal error; see the server log"}
            logger.exception("the vector index was not rebuilt; the one before is still in use")

    def _report(self, stage: str, points: int) -> None:
        self._state = {"state": "running", "stage": stage, "points": points}
