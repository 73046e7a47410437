"""Verifies the index, with repair, after a start that cannot trust it: in a thread, while it is searched."""

from __future__ import annotations

import logging
import random
import threading
from typing import Any, Final

from product_match.contract.errors import ProductMatchError
from product_match.documents.store import DocumentStore
from product_match.index.verification import Comparable, Verification

logger = logging.getLogger(__name__)

SLICE_S: Final = 0.5
RETRY_S: Final = 2.0


class BackgroundVerification:
    """One comparison with repair in a thread; a store that is away only delays it."""

    def __init__(self, documents: DocumentStore, owner: Comparable) -> None:
        """Prepare; `start` begins."""
        self._verification = Verification(documents, owner, repair=True)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="verification", daemon=True)

    def start(self) -> None:
        """Begin in a thread."""
        self._thread.start()

    @property
    def done(self) -> bool:
        """True when everything has been compared."""
        return self._verification.done

    def report(self) -> dict[str, Any]:
        """Return what was compared and mended so far."""
        return {**self._verification.report.to_dict(), "done": self.done}

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return False if it is not reached after `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stop after the page at hand."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=SLICE_S + RETRY_S)

    def _run(self) -> None:
        while not self._closing.is_set() and not self._verification.done:
            try:
                self._verification.run(SLICE_S)
            except ProductMatchError as error:
                logger.warning("comparing the vector index with the documents goes on in a moment: %s", error)
                self._closing.wait(RETRY_S * random.uniform(0.5, 1.0))
        report = self._verification.report
        if report.repaired:
            logger.warning("the vector index was out of step with the documents: %d points mended", report.repaired)
        else:
            logger.info("the vector index is in step with %d products", report.documents)
