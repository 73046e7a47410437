"""The owner as each process has it with a Qdrant server, where no process owns the index alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from product_match.catalogue.applier import Applier
from product_match.catalogue.documents import DocumentStore
from product_match.catalogue.mongo_errors import document_errors
from product_match.catalogue.rebuilding import Rebuilder
from product_match.stores.server_index import ServerIndex
from product_match.stores.vector_index import Revision

WAIT_POLL_S: Final = 0.05


class ServerIndexView:
    """What can be compared and mended from any process.

    Changing points directly could put something older over what an applier elsewhere has just written, so products
    that are out of step are marked as pending, and the applier carries them over.
    """

    def __init__(self, documents: DocumentStore, index: ServerIndex) -> None:
        """Compare `index` with `documents`."""
        self._documents = documents
        self._index = index

    def count(self) -> int:
        """Return how many points the index holds."""
        return self._index.count()

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what the index holds of `ids`."""
        return self._index.lookup(ids)

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions above `after`."""
        return self._index.page(after, limit)

    def reapply(self, ids: Sequence[str]) -> int:
        """Have the applier bring the index in step with the documents of `ids`; remove points without one."""
        present = self._mark(ids)
        orphans = [id_ for id_ in ids if id_ not in present]
        self._index.delete(orphans)
        # A product may have come, and been applied, just before its point was removed.
        self._mark(orphans)
        return len(ids)

    def _mark(self, ids: Sequence[str]) -> set[str]:
        if not ids:
            return set()
        query = {"_id": {"$in": list(ids)}}
        with document_errors("marking products to be applied"):
            self._documents.products.update_many(query, {"$set": {"pending": True}})
            return {document["_id"] for document in self._documents.products.find(query, {"_id": 1})}


class ServerOwner(ServerIndexView):
    """An IndexOwner over a Qdrant server."""

    def __init__(
        self, documents: DocumentStore, index: ServerIndex, rebuilder: Rebuilder, applier: Applier | None = None
    ) -> None:
        """Answer for `index`; `applier` is the one of this process, if it has one."""
        super().__init__(documents, index)
        self._applier = applier
        self._rebuilder = rebuilder

    def wake(self) -> None:
        """Apply pending products now, where this process does; elsewhere the applier looks soon."""
        if self._applier is not None:
            self._applier.wake()

    def wait_applied(self, revs: Mapping[str, int], timeout_s: float) -> dict[str, int]:
        """Wait until products can be found, whichever process applies them."""
        give_up = time.monotonic() + timeout_s
        self.wake()
        waiting = self._documents.still_pending(revs)
        while waiting and time.monotonic() < give_up:
            time.sleep(WAIT_POLL_S)
            waiting = self._documents.still_pending(waiting)
        return waiting

    def status(self) -> dict[str, Any]:
        """Return kind and size of the index, and what troubles the applier of this process."""
        return {
            "vector_index": "server",
            "encoder": self._documents.encoder,
            "points": self._index.count(),
            "pending": self._documents.count_pending(),
            "trouble": self._applier.trouble if self._applier is not None else None,
            "rebuild": self._rebuilder.state(),
        }

    def rebuild(self) -> dict[str, Any]:
        """Start to derive a fresh collection from the documents."""
        return self._rebuilder.start()

    def drop(self) -> int:
        """Remove every product from both stores."""
        return self._rebuilder.drop()

    def close(self) -> None:
        """Stop a rebuild and the applier of this process."""
        self._rebuilder.close()
        if self._applier is not None:
            self._applier.close()
