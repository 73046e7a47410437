"""Who owns the vector index, and what the other processes ask of it.

With Qdrant Edge one process (`retrieval`) holds the shard. It runs a `LocalOwner` and answers on a Unix socket;
`indexing` and `catalogue` use an `OwnerClient`. With a Qdrant server each process has a `LocalOwner` of its own.
Callers see an `IndexOwner` either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from product_match.documents.store import DocumentStore
from product_match.index.applier import Applier
from product_match.index.rebuilding import Rebuilder
from product_match.index.verification import ComparedIndex
from product_match.vectors.swappable_index import SwappableIndex
from product_match.vectors.vector_index import Revision


class IndexOwner(Protocol):
    """What any process may ask of the vector index, apart from searching it."""

    def wake(self) -> None:
        """Ask for pending products to be applied now; never raises, as they are applied soon anyway."""

    def wait_applied(self, revs: Mapping[str, int], timeout_s: float) -> dict[str, int]:
        """Wait until products (rev by point id) can be found; return those that still cannot."""

    def count(self) -> int:
        """Return how many points the index holds."""

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what the index holds of `ids`."""

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions in the order of ids, from the first id above `after`."""

    def reapply(self, ids: Sequence[str]) -> int:
        """Bring the index in step with the documents of `ids`, pending or not; return how many there are."""

    def status(self) -> dict[str, Any]:
        """Return what a person wants to know of the index, as JSON."""

    def rebuild(self) -> dict[str, Any]:
        """Start to derive a fresh index from the documents, unless that is going on; return how it stands."""

    def drop(self) -> int:
        """Remove every product from both stores; return how many points there were."""

    def close(self) -> None:
        """Let go of what this object opened."""


class LocalOwner(ComparedIndex):
    """The owner in this process."""

    def __init__(
        self, documents: DocumentStore, index: SwappableIndex, applier: Applier, rebuilder: Rebuilder, kind: str
    ) -> None:
        """Serve `index`, which `applier` feeds from `documents` and `rebuilder` replaces."""
        super().__init__(documents, index)
        self._applier = applier
        self._rebuilder = rebuilder
        self._kind = kind

    def wake(self) -> None:
        """Apply pending products now."""
        self._applier.wake()

    def wait_applied(self, revs: Mapping[str, int], timeout_s: float) -> dict[str, int]:
        """Wait until products can be found."""
        return self._applier.wait(revs, timeout_s)

    def reapply(self, ids: Sequence[str]) -> int:
        """Bring the index in step with the documents of `ids`."""
        self._applier.reapply(ids)
        return len(ids)

    def status(self) -> dict[str, Any]:
        """Return kind and size of the index, and what troubles the applier."""
        return {
            "vector_index": self._kind,
            "encoder": self._documents.encoder,
            "points": self._index.count(),
            "pending": self._documents.count_pending(),
            "trouble": self._applier.trouble,
            "rebuild": self._rebuilder.state(),
        }

    def rebuild(self) -> dict[str, Any]:
        """Start to derive a fresh index from the documents."""
        return self._rebuilder.start()

    def drop(self) -> int:
        """Remove every product from both stores."""
        return self._rebuilder.drop()

    def close(self) -> None:
        """Stop the applier and a rebuild that is going on."""
        self._rebuilder.close()
        self._applier.close()
