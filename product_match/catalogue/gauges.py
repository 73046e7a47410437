"""Reads from time to time what is in the catalogue, for the metrics."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Final

from product_match.catalogue.opening import Catalogue
from product_match.contract.errors import ProductMatchError
from product_match.contract.metrics import DOCUMENTS, VECTORS
from product_match.documents.extent import oldest_pending_s, size_bytes
from product_match.documents.store import DocumentStore
from product_match.index.owner import IndexOwner
from product_match.settings import ServingSettings, VectorIndexKind
from product_match.telemetry import meters

logger = logging.getLogger(__name__)

PERIOD_S: Final = 5.0
LARGEST_SHARE: Final = 0.05
"""Share of the time that reading may take: nx-27017 answers no search meanwhile."""

LONGEST_PAUSE_S: Final = 60.0
TOLD_FROM: Final = 2
"""Failures in a row from which one is told of: at a start the owner of the index may come later."""

_CLOSE_WAIT_S: Final = 10.0


class CatalogueGauges:
    """Keeps the gauges of a catalogue up to date, in a thread."""

    def __init__(self, documents: DocumentStore, owner: IndexOwner, index_directory: Path | None) -> None:
        """Read from both stores; `index_directory` has the files of an index in process, None with a server."""
        self._documents = documents
        self._owner = owner
        self._index_directory = index_directory
        self._failures = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauges", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is being read is read to its end."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_WAIT_S)

    def read(self) -> None:
        """Read everything once.

        Raises:
            ProductMatchError: A store does not answer; what was read before it stays.
        """
        meters.PENDING_PRODUCTS.set(self._documents.count_pending())
        meters.INDEX_LAG.set(oldest_pending_s(self._documents))
        meters.CATALOGUE_PRODUCTS.set(self._documents.count())
        meters.CATALOGUE_VECTORS.set(self._owner.count())
        meters.STORE_SIZE.labels(DOCUMENTS).set(size_bytes(self._documents))
        if self._index_directory is not None:
            meters.STORE_SIZE.labels(VECTORS).set(_bytes_of(self._index_directory))
        meters.CATALOGUE_READ.set(time.time())

    def _run(self) -> None:
        pause_s = 0.0
        while not self._closing.wait(pause_s):
            started = time.monotonic()
            pause_s = PERIOD_S
            try:
                self.read()
            except ProductMatchError as error:
                self._failures += 1
                if self._failures == TOLD_FROM:
                    logger.warning("the catalogue's metrics stay as they are: %s", error)
                continue
            self._failures = 0
            pause_s = min(max(PERIOD_S, (time.monotonic() - started) / LARGEST_SHARE), LONGEST_PAUSE_S)


def watch_catalogue(catalogue: Catalogue, settings: ServingSettings) -> CatalogueGauges:
    """Return the gauges of a catalogue, started where metrics are wanted."""
    directory = settings.index_directory if settings.vector_index is VectorIndexKind.EDGE else None
    gauges = CatalogueGauges(catalogue.documents, catalogue.owner, directory)
    if settings.observe:
        gauges.start()
    return gauges


def _bytes_of(directory: Path) -> int:
    """Return what the files below a directory take; one that goes meanwhile counts nothing."""
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512 if path.is_file() else 0
    return total
