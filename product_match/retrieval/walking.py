"""Walks down the ranks of rows and reads their products, as far as an answer needs.

A plain answer needs the ranks of its page. A shaped one needs its pool, of which what is thought of a product is only
found out where somebody asks: most of them are not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

from product_match.index.product_cache import StoredProduct
from product_match.retrieval.answers import Match
from product_match.retrieval.confidence import LEADING, Assessment
from product_match.retrieval.paging import RankedRow
from product_match.retrieval.rows import RowQuery
from product_match.words.evidence import WordEvidence

LEAST_LOOKED_AT: Final = 48
"""Ranks that are looked at for a confident set, however little fits."""

MISSES: Final = 24
"""So many ranks in a row that a person would hardly accept, and a confident set has ended."""

Assess = Callable[[RankedRow, str, StoredProduct, bool], Assessment]
"""Says what is thought of a row's product, by its point id; and whether it is the first."""


class LaterAssessment:
    """What is thought of one match, found out when it is asked for."""

    def __init__(self, assess: Callable[[], Assessment]) -> None:
        """Ask `assess`, once."""
        self._assess = assess

    @cached_property
    def _found(self) -> Assessment:
        return self._assess()

    @property
    def confidence(self) -> float:
        """As that of an assessment."""
        return self._found.confidence

    @property
    def words(self) -> WordEvidence | None:
        """As those of an assessment."""
        return self._found.words


@dataclass(frozen=True)
class Walk:
    """A row, and what was found for it.

    Attributes:
        row: The query.
        matches: Those that are there, as they are ranked.
    """

    row: RowQuery
    matches: Sequence[Match]


def walk(
    ranked: Sequence[RankedRow],
    fetch: Callable[[Sequence[str]], Mapping[str, StoredProduct]],
    assess: Assess,
) -> list[Walk]:
    """Walk down the ranks of all rows, with one call for products."""
    held = fetch([id_ for one in ranked for id_, _ in one.ranking])
    return [Walk(one.row, _matches(one, held, assess)) for one in ranked]


def _matches(one: RankedRow, held: Mapping[str, StoredProduct], assess: Assess) -> list[Match]:
    there = [(id_, score) for id_, score in one.ranking if id_ in held]
    if one.row.shape is None:
        there = there[: one.row.offset + one.row.top_k]
    matches = []
    for place, (id_, score) in enumerate(there):
        thought = LaterAssessment(partial(assess, one, id_, held[id_], place == 0))
        matches.append(Match(held[id_], score, thought, one.parts[id_]))
        if one.row.shape is None and (place < LEADING or place >= one.row.offset):
            # This one is needed; asked now, the time that it takes is told as that of this stage.
            matches[-1].assessment.confidence  # noqa: B018
    return matches


def confident_set(row: RowQuery, matches: Sequence[Match]) -> list[Match]:
    """Return the matches that are confident enough, down to where so many in a row are not."""
    found, misses = [], 0
    for number, match in enumerate(matches, start=1):
        fits = match.assessment.confidence >= row.least_confidence
        misses = 0 if fits else misses + 1
        if fits:
            found.append(match)
        if misses >= MISSES and number >= LEAST_LOOKED_AT:
            break
    return found
