"""Answers rows that search for nothing: what a filter fits, sorted, with counts of all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from product_match.contract.browsing import Bounds, Shelf, Shown
from product_match.contract.errors import InvalidRequestError
from product_match.contract.filters import ProductFilter
from product_match.contract.sorting import BY_ID
from product_match.index.product_cache import StoredProduct
from product_match.retrieval.answers import Answered, Match
from product_match.retrieval.confidence import MATCHED, NOT_STOCKED, Assessment
from product_match.retrieval.rows import RowQuery
from product_match.retrieval.searches import Parts
from product_match.retrieval.shape import Shape
from product_match.retrieval.shaping import MOST_VALUES, NUMBERS

CERTAIN: Final = Assessment(confidence=1.0, words=None)
"""What a filter fits is what was asked for."""


class Shelves(Protocol):
    """Where products are browsed."""

    def browse(self, shelf: Shelf) -> tuple[list[StoredProduct], Shown]:
        """Return what a shelf shows."""


class Counts(Protocol):
    """Where values are counted."""

    def value_counts(self, field: str, product_filter: ProductFilter | None, limit: int) -> dict[str, int]:
        """Return how many of the products that fit have each text in a field."""


def browsed(row: RowQuery, shelves: Shelves, counts: Counts) -> Answered:
    """Answer a row that searches for nothing.

    Raises:
        InvalidRequestError: The offset is past the end.
        UnavailableError: A store does not answer.
    """
    shape = row.shape
    facets = shape.facets if shape is not None else ()
    shelf = Shelf(
        filter=row.filter,
        sort=shape.sort[0] if shape is not None and shape.sort else BY_ID,
        offset=row.offset,
        limit=row.top_k,
        numbers=tuple(name for name in facets if name in NUMBERS),
        first=tuple(shape.pins) if shape is not None else (),
        last=tuple(shape.buried) if shape is not None else (),
    )
    products, shown = shelves.browse(shelf)
    if row.offset and row.offset >= shown.total:
        raise past_the_end(row, shown.total)
    counted = {
        name: _number(shown.bounds[name])
        if name in NUMBERS
        else _values(counts.value_counts(name, row.filter, MOST_VALUES))
        for name in facets
    }
    return Answered(
        row=row,
        outcome=MATCHED if shown.total else NOT_STOCKED,
        matches=[_match(product, shape) for product in products],
        facets=counted if facets else None,
        total=shown.total,
    )


def _match(product: StoredProduct, shape: Shape | None) -> Match:
    match = Match(product, 0.0, CERTAIN, Parts())
    for note, ruled in (("pinned", shape.pins), ("buried", shape.buried)) if shape is not None else ():
        if product.product_id in ruled:
            match = match.noted(**{note: ruled[product.product_id]})
    return match


def past_the_end(row: RowQuery, total: int) -> InvalidRequestError:
    """Return the error of a page behind the last match."""
    return InvalidRequestError(
        f"offset: {row.offset} is past the end, {total} products were found; begin with an offset of 0"
    )


def _number(bounds: Bounds | None) -> dict[str, Any]:
    if bounds is None:
        return {"products": 0}
    return {"products": bounds.products, "least": bounds.least, "greatest": bounds.greatest}


def _values(counts: Mapping[str, int]) -> dict[str, Any]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {
        "products": sum(counts.values()),
        "values": [{"value": value, "count": count} for value, count in ordered],
    }
