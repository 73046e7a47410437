"""Ranks that stay what they are, however far a person pages.

A product's score depends a little on how many hits its searches had, for what one of them finds first another may not
have among its hits. Were the searches simply made deeper for later pages, a product could stand on two pages, or on
none. So the depth goes in steps, and each step only adds behind the ranks of those before it: one search at the depth
of the last step holds the hits of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from product_match.contract.encoder import SimilarityScales
from product_match.retrieval.fusion import Ranking, rank
from product_match.retrieval.rows import Level, RowQuery
from product_match.retrieval.searches import RANKED, Found, Parts, Search, gather
from product_match.vectors.vector_index import Hit


@dataclass(frozen=True)
class RankedRow:
    """A row, what was found for it, and in which order.

    Attributes:
        row: The query.
        parts: What the searches said of each product, by point id.
        ranking: Point ids and scores, best first.
    """

    row: RowQuery
    parts: dict[str, Parts]
    ranking: Ranking


def rank_in_steps(
    row: RowQuery, searches: Sequence[Search], answers: Sequence[Sequence[Hit]], scales: SimilarityScales
) -> RankedRow:
    """Rank what was found for a row, as far as its page goes.

    Args:
        row: The query.
        searches: What the index was asked for it.
        answers: The hits of each search, best first.
        scales: Of similarities.
    """
    parts: dict[str, Parts] = {}
    ranking: Ranking = []
    for level in row.levels:
        found = _found_at(level, row, searches, answers, scales)
        least = ranking[-1][1] if ranking else float("inf")
        further = [(id_, min(score, least)) for id_, score in rank(row, found) if id_ not in parts]
        further = further[: level.ranks - len(ranking)]
        parts.update((id_, found.parts[id_]) for id_, _ in further)
        ranking += further
    if row.min_score is not None:
        ranking = [item for item in ranking if item[1] >= row.min_score]
    return RankedRow(row, parts, ranking[: row.limit])


def _found_at(
    level: Level,
    row: RowQuery,
    searches: Sequence[Search],
    answers: Sequence[Sequence[Hit]],
    scales: SimilarityScales,
) -> Found:
    """Return what would have been found, had the searches been as deep as the level."""
    if level is row.levels[-1]:
        return gather(row, searches, answers, scales)
    limits = [level.depth if search.name in RANKED else search.query.limit for search in searches]
    shallow = [
        replace(search, query=replace(search.query, limit=limit))
        for search, limit in zip(searches, limits, strict=True)
    ]
    return gather(row, shallow, [hits[:limit] for hits, limit in zip(answers, limits, strict=True)], scales)
