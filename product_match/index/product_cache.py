"""The products that answers show, kept in memory beside the index while that is known to be right.

Every change of a product is a document with `pending`, and the applier of the embedded stack, which runs in the same
process as the searches, sees each one before the index does. It has the cache forget a product before the index
changes, so an answer shows a product as the index holds it, or newer. Where changes are not seen (a Qdrant server,
whose appliers run elsewhere, or an applier in trouble), every read goes to the document store.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from product_match.contract.browsing import Shelf, Shown
from product_match.telemetry.meters import CACHE_LOOKUPS

CAPACITY_BYTES: Final = 32 * 1024 * 1024
MAX_AGE_S: Final = 60.0
"""Longest use of what was read, for the case that someone changes documents past the server."""

_ENTRY_BYTES: Final = 600
"""What an entry takes beside its JSON: the objects around it and its place in the dictionary."""


_HITS, _MISSES, _BYPASSES = (CACHE_LOOKUPS.labels(result) for result in ("hit", "miss", "bypass"))


@dataclass(frozen=True, slots=True)
class StoredProduct:
    """One product as an answer shows it.

    Attributes:
        product_id: Its id.
        json: Its fields, as JSON.
    """

    product_id: str
    json: bytes


class ProductSource(Protocol):
    """The part of the document store that is read."""

    def fetch(self, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return the products of the point ids that exist, in one call."""

    def browse(self, shelf: Shelf) -> Shown:
        """Return what a shelf shows."""


class CachedProducts:
    """Reads products through a bounded cache; safe to use from several threads."""

    def __init__(
        self,
        source: ProductSource,
        in_step: Callable[[], bool],
        *,
        capacity_bytes: int = CAPACITY_BYTES,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read from `source`.

        Args:
            source: The document store.
            in_step: Says whether every change is told by `forget` right now; if not, the cache is passed by.
            capacity_bytes: Least recently used products are dropped beyond this.
            max_age_s: Older entries are read again.
            clock: Seconds.
        """
        self._source = source
        self._in_step = in_step
        self._capacity_bytes = capacity_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[StoredProduct, float]] = OrderedDict()
        self._bytes = 0
        self._changes = 0

    def fetch(self, ids: Sequence[str]) -> dict[str, StoredProduct]:
        """Return the products of the point ids that exist, with at most one call to the document store.

        Raises:
            UnavailableError: The document store does not answer.
        """
        if not self._in_step():
            _BYPASSES.inc(len(ids))
            return _stored(self._source.fetch(ids))
        with self._lock:
            changes = self._changes
            found = self._held(ids)
        missing = [id_ for id_ in ids if id_ not in found]
        _HITS.inc(len(found))
        _MISSES.inc(len(missing))
        if missing:
            now = self._clock()
            read = _stored(self._source.fetch(missing))
            found |= read
            with self._lock:
                # What was read may be from before a change that came meanwhile, so it is shown, but not kept.
                if self._changes == changes:
                    self._keep(read, now)
        return found

    def browse(self, shelf: Shelf) -> tuple[list[StoredProduct], Shown]:
        """Return what a shelf shows, its products as answers show them; always from the document store.

        Raises:
            UnavailableError: The document store does not answer.
        """
        shown = self._source.browse(shelf)
        return [StoredProduct(product["id"], orjson.dumps(product)) for product in shown.products], shown

    def forget(self, ids: Sequence[str]) -> None:
        """Drop products that have changed; call it after the change is stored, and before the index shows it."""
        with self._lock:
            self._changes += 1
            for id_ in ids:
                self._drop(id_)

    def _held(self, ids: Sequence[str]) -> dict[str, StoredProduct]:
        oldest = self._clock() - self._max_age_s
        found = {}
        for id_ in ids:
            entry = self._entries.get(id_)
            if entry is not None and entry[1] >= oldest:
                self._entries.move_to_end(id_)
                found[id_] = entry[0]
        return found

    def _keep(self, read: Mapping[str, StoredProduct], now: float) -> None:
        for id_, product in read.items():
            self._drop(id_)
            self._entries[id_] = (product, now)
            self._bytes += len(product.json) + _ENTRY_BYTES
        while self._bytes > self._capacity_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, id_: str) -> None:
        entry = self._entries.pop(id_, None)
        if entry is not None:
            self._bytes -= len(entry[0].json) + _ENTRY_BYTES


def _stored(products: Mapping[str, Mapping[str, Any]]) -> dict[str, StoredProduct]:
    return {id_: StoredProduct(product["id"], orjson.dumps(product)) for id_, product in products.items()}
