"""Keeps the statistics of a catalogue: read at a start, added to as products come, counted anew after much change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from product_match.contract.errors import CancelledError, ConfigError, ProductMatchError
from product_match.documents.leases import Lease
from product_match.documents.statistics import changed_since, keep_statistics, read_statistics
from product_match.documents.store import DocumentStore, now
from product_match.statistics.catalogue import CatalogueStatistics
from product_match.statistics.counting import count_catalogue
from product_match.words.analysis import Analyser

logger = logging.getLogger(__name__)

CHECK_S: Final = 1.0
QUIET_S: Final = 2.0
"""Time without changes before the whole is counted: a load would make the figures old while they are counted."""

CHANGED_SHARE: Final = 0.1
"""Share of the products that may change before the whole is counted anew."""

RETRY_S: Final = 5.0


class StatisticsKeeper:
    """Has the statistics of one catalogue ready, and keeps them right in a thread."""

    def __init__(
        self,
        documents: DocumentStore,
        dimension: int,
        analyser: Analyser,
        *,
        lease: Lease | None = None,
        changed: Callable[[CatalogueStatistics], None] = lambda _: None,
    ) -> None:
        """Read what is kept of the catalogue; `start` begins to keep it right.

        Args:
            documents: The store.
            dimension: Length of a vector.
            analyser: Makes terms.
            lease: What decides which of several processes counts; the others read what it has kept. None where this
                process is the only one, and is told by `applied` what has changed.
            changed: Given the statistics each time that they were counted anew.
        """
        self._documents = documents
        self._dimension = dimension
        self._lease = lease
        self._followed = now()
        self._analyser = analyser
        self._changed = changed
        self._changes = 0
        self._changed_at = time.monotonic()
        self._asked = threading.Event()
        self._closing = threading.Event()
        self.current = self._read()
        self._thread = threading.Thread(target=self._run, name="statistics", daemon=True)

    def start(self) -> None:
        """Begin in a thread."""
        self._thread.start()

    def applied(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Take note of documents that the index has taken; a tombstone counts as a change."""
        live = [
            document["product"] for document in documents if not document.get("deleted") and "product" in document
        ]
        self.current.vocabulary.add(self._analyser, live)
        self._changes += len(documents)
        self._changed_at = time.monotonic()

    def count_again(self) -> None:
        """Count the whole anew soon, whatever has changed."""
        self._asked.set()

    def close(self) -> None:
        """Stop; counting that is under way is given up."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=RETRY_S)

    @property
    def due(self) -> bool:
        """Whether the whole should be counted anew now."""
        if self._asked.is_set() or self.current.version == 0:
            return True
        quiet = time.monotonic() - self._changed_at >= QUIET_S
        return quiet and self._changes > CHANGED_SHARE * self.current.products

    def refresh(self) -> None:
        """Count the whole anew, and keep what comes out.

        Raises:
            CancelledError: The keeper is closing.
            UnavailableError: The store does not answer.
        """
        self._asked.clear()
        before = self._changes
        version = self.current.version + 1
        counted = count_catalogue(self._documents, self._dimension, self._analyser, version, self._closing)
        # What was applied meanwhile may have been counted already, or not; it is counted again soon if it was much.
        self.current = counted
        self._changes -= before
        keep_statistics(self._documents, counted.to_document())
        self._changed(counted)

    def _read(self) -> CatalogueStatistics:
        try:
            document = read_statistics(self._documents)
            if document is not None:
                return CatalogueStatistics.from_document(document)
        except ConfigError as error:
            logger.warning("%s", error)
        return CatalogueStatistics()

    def _follow(self) -> None:
        """Take note of what other processes have written and counted; nothing where there is no other."""
        if self._lease is None:
            return
        kept = read_statistics(self._documents, {"version": 1, "encoder": 1})
        if kept is not None and kept.get("version", 0) > self.current.version:
            self.current, self._changes = self._read(), 0
        changed = changed_since(self._documents, self._followed)
        if changed:
            self.applied(changed)
            self._followed = str(changed[-1]["updated_at"])

    def _run(self) -> None:
        while not self._closing.wait(CHECK_S):
            try:
                self._follow()
                if self.due and (self._lease is None or self._lease.held()):
                    self.refresh()
            except CancelledError:
                return
            except ProductMatchError as error:
                logger.warning("the catalogue's statistics could not be counted: %s; it is tried again", error)
                self._closing.wait(RETRY_S)
