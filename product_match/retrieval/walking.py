"""Walks down the ranks of rows: reads their products and assesses them, as far as an answer needs.

A plain answer needs the ranks of its page. A shaped one needs its pool, which ends where nothing fits any more: its
ranks are read in two parts, of which most rows need the first alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from product_match.index.product_cache import StoredProduct
from product_match.retrieval.answers import Match
from product_match.retrieval.confidence import Assessment
from product_match.retrieval.paging import RankedRow
from product_match.retrieval.rows import RowQuery

LEAST_POOL: Final = 48
"""Ranks that are looked at for a shaped answer, however little fits."""

MISSES: Final = 24
"""So many ranks in a row that a person would hardly accept, and nothing behind them is looked at."""

_SPARE: Final = 6
"""Products that may have been deleted since they were indexed."""

Assess = Callable[[RankedRow, str, StoredProduct, bool], Assessment]
"""Says what is thought of a row's product, by its point id; and whether it is the first."""


@dataclass
class Walk:
    """How far a row's ranks have been walked.

    Attributes:
        ranked: The row and its ranks.
        matches: Those that are there, as they are ranked.
        confident: How many of them are confident enough.
    """

    ranked: RankedRow
    matches: list[Match] = field(default_factory=list)
    confident: int = 0
    _read: int = 0
    _misses: int = 0

    @property
    def row(self) -> RowQuery:
        """The query."""
        return self.ranked.row

    @property
    def _page_end(self) -> int:
        return self.row.offset + self.row.top_k

    @property
    def ended(self) -> bool:
        """Whether the answer needs nothing that stands behind."""
        if self._read >= len(self.ranked.ranking):
            return True
        if self.row.shape is None:
            return len(self.matches) >= self._page_end
        pool_ended = self._misses >= MISSES and len(self.matches) >= LEAST_POOL
        return pool_ended and (self.row.shape.reorders or len(self.matches) >= self._page_end)

    def next_ids(self) -> list[str]:
        """Return the point ids of the part that is to be read next."""
        if self.ended:
            return []
        first = self.row.shape is not None and not self._read
        end = max(LEAST_POOL + _SPARE, self.row.page_limit) if first else None
        return [id_ for id_, _ in self.ranked.ranking[self._read : end]]

    def take(self, ids: Sequence[str], held: Mapping[str, StoredProduct], assess: Assess) -> None:
        """Take a part that was read, as far as the answer needs it."""
        for id_, score in self.ranked.ranking[self._read : self._read + len(ids)]:
            if self.ended:
                return
            self._read += 1
            product = held.get(id_)
            if product is None:
                continue
            assessed = assess(self.ranked, id_, product, not self.matches)
            self.matches.append(Match(product, score, assessed, self.ranked.parts[id_]))
            fits = assessed.confidence >= self.row.least_confidence
            self.confident += fits
            self._misses = 0 if fits else self._misses + 1


def walk(
    ranked: Sequence[RankedRow],
    fetch: Callable[[Sequence[str]], Mapping[str, StoredProduct]],
    assess: Assess,
) -> list[Walk]:
    """Walk down the ranks of all rows, with one call for products, and a second where a row needs more."""
    walks = [Walk(one) for one in ranked]
    while parts := [(walked, ids) for walked in walks if (ids := walked.next_ids())]:
        held = fetch([id_ for _, ids in parts for id_ in ids])
        for walked, ids in parts:
            walked.take(ids, held, assess)
    return walks
