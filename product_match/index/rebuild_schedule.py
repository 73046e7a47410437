"""When a large index is rebuilt by itself: once many vectors lie outside of its search graph.

A Qdrant server does that by itself. Qdrant Edge would do it in the serving process, which could not search meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from product_match.contract.errors import ProductMatchError
from product_match.index.applier import Applier
from product_match.index.rebuilding import Rebuilder
from product_match.vectors.vector_index import GRAPH_THRESHOLD

logger = logging.getLogger(__name__)

CHECK_S: Final = 30.0
QUIET_S: Final = 30.0
"""Time without changes before a rebuild: a load would make the fresh graph old while it is built."""

RETRY_S: Final = 1800.0
"""Least time between the starts of two rebuilds."""

SHARE: Final = 0.2
"""Share of the points outside of the graph from which it is built anew."""


class RebuildSchedule:
    """Looks at the index now and then, in a thread."""

    def __init__(
        self,
        count: Callable[[], int],
        count_unindexed: Callable[[], int],
        applier: Applier,
        rebuilder: Rebuilder,
        *,
        threshold: int = GRAPH_THRESHOLD,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            count: Returns how many points the index holds.
            count_unindexed: Returns how many points each search compares with one by one.
            applier: Knows when the index changed last.
            rebuilder: Rebuilds it.
            threshold: Points that may lie outside of the graph.
        """
        self._count = count
        self._count_unindexed = count_unindexed
        self._applier = applier
        self._rebuilder = rebuilder
        self._threshold = threshold
        self._started_at: float | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rebuild-schedule", daemon=True)

    def start(self) -> None:
        """Begin in a thread."""
        self._thread.start()

    def check(self) -> bool:
        """Start a rebuild where one is due, and return whether it was."""
        if self._applier.quiet_s() < QUIET_S:
            return False
        if self._started_at is not None and time.monotonic() - self._started_at < RETRY_S:
            return False
        unindexed = self._count_unindexed()
        if unindexed < max(self._threshold, SHARE * self._count()):
            return False
        logger.info("%d points lie outside of the search graph: the index is rebuilt in the background", unindexed)
        self._started_at = time.monotonic()
        self._rebuilder.start()
        return True

    def close(self) -> None:
        """Stop looking."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(CHECK_S):
            try:
                self.check()
            except ProductMatchError as error:
                logger.warning("the size of the search graph could not be read: %s", error)
