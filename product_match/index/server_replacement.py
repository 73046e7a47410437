"""Replacing the collection of a Qdrant server, which any number of processes search and change meanwhile."""

from __future__ import annotations

import threading
from typing import Final

from product_match.contract.errors import CancelledError
from product_match.documents.conditional_writes import renew_pending
from product_match.documents.store import LIVE, DocumentStore
from product_match.index.points import POINT_FIELDS, PointMaker
from product_match.index.rebuilding import Report
from product_match.index.server_comparison import UnsearchedIndex
from product_match.index.verification import Comparable, Verification
from product_match.vectors.server_channel import QdrantChannel
from product_match.vectors.server_collections import ServerCollections
from product_match.vectors.server_index import ServerIndex

PAGE_SIZE: Final = 200


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
        before, name = self._collections.current(), self._collections.fresh()
        self._collections.create(name)
        fresh = ServerIndex(self._channel, name, self._timeout_s, owns_channel=False)
        switched = False
        try:
            count = 0
            for page in self._documents.walk(LIVE, POINT_FIELDS, page_size=PAGE_SIZE):
                if cancelled.is_set():
                    raise CancelledError("it was cancelled")
                fresh.upsert([self._points.point(document) for document in page])
                count += len(page)
                report("loading", count)
            report("comparing", count)
            unsearched = UnsearchedIndex(self._documents, fresh, self._points)
            Verification(self._documents, unsearched, repair=True).run()
            self._collections.switch(name)
            switched = True
        finally:
            if not switched:
                self._collections.remove(name)
        # What an applier has put into the old collection, and not marked yet, is pending and so passes a comparison.
        renew_pending(self._documents)
        report("comparing again", count)
        Verification(self._documents, self._owner, repair=True).run()
        if before is not None:
            self._collections.remove(before)
        return fresh.count()

    def drop(self) -> int:
        """Remove every product from both stores."""
        before, name = self._collections.current(), self._collections.fresh()
        points = self._owner.count()
        self._collections.create(name)
        self._documents.drop()
        self._collections.switch(name)
        # An applier may have put products into the new collection that it read before they were dropped.
        Verification(self._documents, self._owner, repair=True).run()
        if before is not None:
            self._collections.remove(before)
        return points
