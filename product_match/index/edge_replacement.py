"""Replacing the shard of Qdrant Edge: exact, because every change of it goes through the one applier."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from product_match.contract.errors import CancelledError
from product_match.documents.store import DocumentStore
from product_match.index.applier import Applier
from product_match.index.points import PointMaker
from product_match.index.rebuilding import Report
from product_match.vectors.swappable_index import SwappableIndex
from product_match.vectors.vector_index import VectorIndex
from product_match.words.encoding import WordsRecipe

CATCH_UP_ROUNDS: Final = 20
FEW_CHANGES: Final = 200
CHUNK: Final = 200


class ShardBuilder(Protocol):
    """What makes shards; see EdgeBuilder."""

    def empty(self, points: PointMaker) -> VectorIndex:
        """Return a new shard without points."""

    def derived(self, points: PointMaker, report: Report, cancelled: threading.Event) -> VectorIndex:
        """Return a new shard with the points of all documents."""

    def adopt(self, index: VectorIndex) -> None:
        """Make `index`, which came from this builder, the one that the next start opens."""

    def discard(self, index: VectorIndex) -> None:
        """Close and remove a shard."""


class EdgeReplacement:
    """Derives a shard beside the current one, brings it up to date, and swaps it in.

    The applier notes which points change meanwhile. They are applied to the fresh shard until few are left; the last
    ones, and the swap, happen while the applier waits. Searches never wait for more than a call in flight.
    """

    def __init__(
        self,
        documents: DocumentStore,
        index: SwappableIndex,
        applier: Applier,
        builder: ShardBuilder,
        *,
        recipe: Callable[[], WordsRecipe] = WordsRecipe,
        replaced: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            documents: The truth.
            index: What is replaced.
            applier: Changes `index`.
            builder: Makes shards.
            recipe: Says how the words of a fresh shard are made.
            replaced: Told when a fresh shard is in use.
        """
        self._recipe = recipe
        self._replaced = replaced
        self._documents = documents
        self._index = index
        self._applier = applier
        self._builder = builder

    def rebuild(self, report: Report, cancelled: threading.Event) -> int:
        """Derive a fresh shard from the documents and swap it in."""
        self._applier.start_recording()
        fresh: VectorIndex | None = None
        try:
            points = PointMaker(self._recipe())
            fresh = self._builder.derived(points, report, cancelled)
            report("catching up", fresh.count())
            for _ in range(CATCH_UP_ROUNDS):
                if self._catch_up(fresh, points) <= FEW_CHANGES:
                    break
            with self._applier.write_lock:
                self._catch_up(fresh, points)
                if cancelled.is_set():
                    raise CancelledError("it was cancelled")
                self._swap(fresh, points)
                fresh = None
                return self._index.count()
        finally:
            self._applier.stop_recording()
            if fresh is not None:
                self._builder.discard(fresh)

    def drop(self) -> int:
        """Remove every product from both stores."""
        with self._applier.write_lock:
            points = self._index.count()
            self._documents.drop()
            points_of = PointMaker(self._recipe())
            self._swap(self._builder.empty(points_of), points_of)
        return points

    def _swap(self, fresh: VectorIndex, points: PointMaker) -> None:
        self._builder.adopt(fresh)
        self._applier.use(points)
        self._replaced()
        self._builder.discard(self._index.swap(fresh))

    def _catch_up(self, fresh: VectorIndex, points: PointMaker) -> int:
        changed = self._applier.take_recording()
        for start in range(0, len(changed), CHUNK):
            self._applier.reapply(changed[start : start + CHUNK], fresh, points)
        return len(changed)
