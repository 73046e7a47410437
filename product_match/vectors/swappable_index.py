"""A vector index that can be exchanged while it is in use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from product_match.contract.filters import ProductFilter
from product_match.vectors.vector_index import Hit, Revision, VectorIndex, VectorPoint, VectorQuery

T = TypeVar("T")


class _Slot:
    """An index, and how many calls are using it."""

    def __init__(self, index: VectorIndex) -> None:
        self.index = index
        self.users = 0


class SwappableIndex:
    """Passes every call on to the current index; `swap` puts another in its place without failing a call."""

    def __init__(self, index: VectorIndex) -> None:
        """Start with `index`."""
        self._slot = _Slot(index)
        self._changed = threading.Condition()

    def swap(self, index: VectorIndex) -> VectorIndex:
        """Use `index` for every call from now on, and wait for the calls that still use the one before.

        Returns:
            The index until now, which no call uses any more: close it.
        """
        with self._changed:
            before, self._slot = self._slot, _Slot(index)
            self._changed.wait_for(lambda: before.users == 0)
        return before.index

    def ask(self, question: Callable[[VectorIndex], T]) -> T:
        """Return what `question` finds in the current index, which is not closed meanwhile."""
        with self._current() as index:
            return question(index)

    def search(self, queries: Sequence[VectorQuery]) -> list[list[Hit]]:
        """Answer all queries with one call."""
        with self._current() as index:
            return index.search(queries)

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Add or wholly replace points."""
        with self._current() as index:
            index.upsert(points)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points."""
        with self._current() as index:
            index.delete(ids)

    def count(self) -> int:
        """Return how many points there are."""
        with self._current() as index:
            return index.count()

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what is held of `ids`."""
        with self._current() as index:
            return index.lookup(ids)

    def vectors(self, ids: Sequence[str]) -> dict[str, Mapping[str, NDArray[np.float32]]]:
        """Return the dense vectors of `ids`."""
        with self._current() as index:
            return index.vectors(ids)

    def value_counts(self, field: str, product_filter: ProductFilter | None, limit: int) -> dict[str, int]:
        """Return how many of the points that fit have each text in a field."""
        with self._current() as index:
            return index.value_counts(field, product_filter, limit)

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions above `after`."""
        with self._current() as index:
            return index.page(after, limit)

    def flush(self) -> None:
        """Write everything to disk."""
        with self._current() as index:
            index.flush()

    def close(self) -> None:
        """Close the current index."""
        self._slot.index.close()

    @contextmanager
    def _current(self) -> Iterator[VectorIndex]:
        with self._changed:
            slot = self._slot
            slot.users += 1
        try:
            yield slot.index
        finally:
            with self._changed:
                slot.users -= 1
                if not slot.users:
                    self._changed.notify_all()
