"""Shapes an answer: counts the values of fields, and sorts.

All of it is of the confident set: of the ranks that are looked at, the products whose confidence is that of
`min_confidence`, or of a weak match where none is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from product_match.contract.products import FILTER_FIELDS, FieldType
from product_match.contract.sorting import ID, SortKey
from product_match.retrieval.answers import Match
from product_match.retrieval.rows import RowQuery


@dataclass(frozen=True)
class Shaped:
    """A shaped answer.

    Attributes:
        matches: All of them, in order; a page is a part of it.
        facets: What was counted; None where nothing was to be.
    """

    matches: Sequence[Match]
    facets: Mapping[str, Any] | None


def shaped(row: RowQuery, matches: Sequence[Match]) -> Shaped:
    """Shape what was found for a row, as it is ranked."""
    shape = row.shape
    if shape is None:
        return Shaped(matches, None)
    confident = [match for match in matches if match.assessment.confidence >= row.least_confidence]
    facets = facet_counts(shape.facets, [match.fields for match in confident]) if shape.facets else None
    if shape.sort:
        order = sort_order(shape.sort, [match.fields for match in confident])
        matches = [confident[place] for place in order]
    return Shaped(matches, facets)


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
