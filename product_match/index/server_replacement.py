"""Replacing the collection of a Qdrant server, which any number of processes search and change meanwhile.

One process at a time does, whoever has the lease. What fences one that was held for longer than its lease lasts: who
takes the lease removes every collection that the alias does not lead to, the unfinished one of the process before
included, which can neither fill nor serve it any more; and it removes only what it has listed while the lease was its
own, which names no collection that was made later.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from product_match.contract.errors import CancelledError, ProductMatchError
from product_match.documents.conditional_writes import renew_pending
from product_match.documents.leases import KeptLease, Lease
from product_match.documents.store import LIVE, DocumentStore
from product_match.index.points import POINT_FIELDS, PointMaker
from product_match.index.rebuilding import Report
from product_match.index.server_comparison import UnsearchedIndex
from product_match.index.verification import Comparable, Verification
from product_match.vectors.server_channel import QdrantChannel
from product_match.vectors.server_collections import ServerCollections
from product_match.vectors.server_index import ServerIndex

logger = logging.getLogger(__name__)

PAGE_SIZE: Final = 200
SWEEP_S: Final = 60.0
_CLOSE_WAIT_S: Final = 5.0


class ServerReplacement:
    """Fills a collection beside the current one, compares it with the documents, and switches the alias.

    Changes that reach the old collection after the comparison and before the switch are found by a second comparison
    right after it: for these seconds such a product is found as it was before.
    """

    def __init__(
        self,
        documents: DocumentStore,
        channel: QdrantChannel,
        collections: ServerCollections,
        owner: Comparable,
        timeout_s: float,
        points: PointMaker,
    ) -> None:
        """Replace the collection behind the alias, which `owner` compares and mends; `points` makes its points."""
        self._points = points
        self._documents = documents
        self._channel = channel
        self._collections = collections
        self._owner = owner
        self._timeout_s = timeout_s

    def rebuild(self, report: Report, cancelled: threading.Event) -> int:
        """Derive a fresh collection from the documents and switch the alias to it."""
        with self._alone("rebuild") as lease:
            self._sweep(lease)
            name = self._collections.fresh()
            fresh = ServerIndex(self._channel, name, self._timeout_s, owns_channel=False)
            switched = False
            try:
                self._collections.create(name)
                count = self._fill(fresh, report, cancelled)
                report("comparing", count)
                unsearched = UnsearchedIndex(self._documents, fresh, self._points)
                Verification(self._documents, unsearched, repair=True).run()
                lease.check()
                self._collections.switch(name)
                switched = True
            finally:
                if not switched:
                    self._collections.remove(name)
            # What an applier has put into the old one, and not marked yet, is pending and so passes a comparison.
            renew_pending(self._documents)
            report("comparing again", count)
            Verification(self._documents, self._owner, repair=True).run()
            self._sweep(lease)
        return fresh.count()

    def drop(self) -> int:
        """Remove every product from both stores."""
        with self._alone("drop") as lease:
            self._sweep(lease)
            name = self._collections.fresh()
            points = self._owner.count()
            self._collections.create(name)
            self._documents.drop()
            lease.check()
            self._collections.switch(name)
            # An applier may have put products into the new collection that it read before they were dropped.
            Verification(self._documents, self._owner, repair=True).run()
            self._sweep(lease)
        return points

    def sweep(self) -> int:
        """Remove what processes that died have left, unless another replaces the collection; return how many."""
        with self._alone("sweep") as lease:
            return self._sweep(lease)

    def _alone(self, what: str) -> KeptLease:
        return KeptLease(Lease(self._documents.meta, f"replacing_{self._collections.alias}"), what)

    def _sweep(self, lease: KeptLease) -> int:
        lease.check()
        leftovers = self._collections.leftovers()
        for name in leftovers:
            self._collections.remove(name)
            logger.info("the collection %s, which nothing led to, was removed", name)
        return len(leftovers)

    def _fill(self, fresh: ServerIndex, report: Report, cancelled: threading.Event) -> int:
        count = 0
        for page in self._documents.walk(LIVE, POINT_FIELDS, page_size=PAGE_SIZE):
            if cancelled.is_set():
                raise CancelledError("it was cancelled")
            fresh.upsert([self._points.point(document) for document in page])
            count += len(page)
            report("loading", count)
        return count


class LeftoverSweep:
    """Sweeps now and then, in a thread: a process that dies in a rebuild cannot clean up after itself."""

    def __init__(self, replacement: ServerReplacement, pause_s: float = SWEEP_S) -> None:
        """Sweep every `pause_s` seconds once started."""
        self._replacement, self._pause_s = replacement, pause_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leftovers", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        self._thread.join(_CLOSE_WAIT_S)

    def _run(self) -> None:
        while not self._closing.wait(self._pause_s):
            try:
                self._replacement.sweep()
            except ProductMatchError as error:
                logger.debug("no sweep this time: %s", error)
            except Exception:
                logger.exception("leftovers could not be removed")
