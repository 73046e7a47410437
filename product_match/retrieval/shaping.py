"""Shapes an answer: counts the values of fields, sorts, and boosts, collapses, limits, diversifies and groups.

All of it is of the pool, the ranks that are looked at. What is counted and sorted is the confident set: the products
of the pool whose confidence is that of `min_confidence`, or of a weak match where none is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from product_match.contract.boosts import MOST_BOOST, Boost
from product_match.contract.encoder import SimilarityScales
from product_match.contract.fitting import fits
from product_match.contract.products import FILTER_FIELDS, FieldType, point_id
from product_match.contract.sorting import ID, SortKey
from product_match.retrieval.answers import Match
from product_match.retrieval.composition import HeldVectors
from product_match.retrieval.grouping import at_most, collapsed, diversified, grouped
from product_match.retrieval.rows import RowQuery
from product_match.retrieval.shape import Shape
from product_match.retrieval.walking import Walk, confident_set


@dataclass(frozen=True)
class Shaped:
    """A shaped answer.

    Attributes:
        matches: All of them, in order; a page is a part of it.
        facets: What was counted; None where nothing was to be.
    """

    matches: Sequence[Match]
    facets: Mapping[str, Any] | None


def shaped(
    row: RowQuery,
    walked: Walk,
    held: HeldVectors,
    scales: SimilarityScales,
    pinned: Mapping[str, Match],
) -> Shaped:
    """Shape what was found for a row.

    Args:
        row: The query.
        walked: Its pool, as it is ranked.
        held: The vectors of its products, by point id, where its shape needs them.
        scales: Of similarities.
        pinned: Matches by product id, of products that rules show first and the pool does not have.
    """
    shape, matches = row.shape, list(walked.matches)
    if shape is None:
        return Shaped(matches, None)
    confident = confident_set(row, matches[: row.pool]) if shape.facets or shape.sort else []
    facets = facet_counts(shape.facets, [match.fields for match in confident]) if shape.facets else None
    if shape.reorders:
        places = {match.product.product_id: place for place, match in enumerate(matches, start=1)}
        matches = [
            match.noted(ranked=places[match.product.product_id]) for match in (confident if shape.sort else matches)
        ]
        if shape.boosts:
            matches = boosted(matches, shape.boosts)
        if shape.sort:
            matches = [matches[place] for place in sort_order(shape.sort, [match.fields for match in matches])]
        if shape.collapse is not None:
            matches = collapsed(matches, _points(matches), held, shape.collapse)
        if shape.at_most:
            matches = at_most(matches, shape.at_most)
        if shape.diversity:
            matches = diversified(matches, _points(matches), held, shape.diversity, scales)
        if shape.pins or shape.buried:
            matches = _arranged(matches, shape, pinned)
        if shape.group_by is not None:
            matches = grouped(matches, shape.group_by)
    return Shaped(matches, facets)


def _arranged(matches: Sequence[Match], shape: Shape, pinned: Mapping[str, Match]) -> list[Match]:
    """Put first what rules pin, and last what they bury."""
    by_id = {**pinned, **{match.product.product_id: match for match in matches}}
    first = [by_id[id_].noted(pinned=rule_id) for id_, rule_id in shape.pins.items() if id_ in by_id]
    rest = [match for match in matches if match.product.product_id not in shape.pins]
    last = [match for match in rest if match.product.product_id in shape.buried]
    between = [match for match in rest if match.product.product_id not in shape.buried]
    return [*first, *between, *(match.noted(buried=shape.buried[match.product.product_id]) for match in last)]


def boosted(matches: Sequence[Match], boosts: Sequence[Boost]) -> list[Match]:
    """Order matches by `score + |score| * boost`, where the boosts that a product has are added up, within bounds."""
    found = []
    for match in matches:
        by = sum(boost.by for boost in boosts if fits(boost.filter, match.fields))
        by = max(-MOST_BOOST, min(MOST_BOOST, by))
        if by:
            match = replace(match, score=match.score + abs(match.score) * by).noted(boost=round(by, 4))
        found.append(match)
    return sorted(found, key=lambda match: -match.score)


def _points(matches: Sequence[Match]) -> list[str]:
    return [point_id(match.product.product_id) for match in matches]


MOST_VALUES: Final = 100
"""Values of a field that are counted, the most frequent first."""

NUMBERS: Final = frozenset(field.name for field in FILTER_FIELDS if field.type is FieldType.NUMBER)

Fields = Mapping[str, Any]
"""A product's fields."""


def facet_counts(names: Sequence[str], products: Iterable[Fields]) -> dict[str, Any]:
    """Count the values of fields.

    Returns:
        For each field the number of products that have it, as `products`, and `values`, each with its `count`, the
        most frequent first and equals in the order of their text; for a number, its `least` and `greatest`.
    """
    held = list(products)
    return {
        name: _facet(name, [value for fields in held if (value := fields.get(name)) is not None]) for name in names
    }


def _facet(name: str, values: Sequence[Any]) -> dict[str, Any]:
    if name in NUMBERS:
        bounds = {"least": min(values), "greatest": max(values)} if values else {}
        return {"products": len(values), **bounds}
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    shown = [{"value": value, "count": count} for value, count in counts[:MOST_VALUES]]
    return {"products": len(values), "values": shown}


def sort_order(keys: Sequence[SortKey], products: Sequence[Fields]) -> list[int]:
    """Return the places of products as keys sort them.

    A product that lacks a field comes last, whichever way it is sorted; equals are in the order of ids.
    """
    order = sorted(range(len(products)), key=lambda place: str(products[place][ID]))
    for key in reversed(keys):
        values: list[Any] = [fields.get(key.field) for fields in products]
        having = [place for place in order if values[place] is not None]
        having.sort(key=values.__getitem__, reverse=key.descending)
        order = having + [place for place in order if values[place] is None]
    return order
