"""Product filters as Qdrant Edge's own classes."""

from __future__ import annotations

from typing import Any

import qdrant_edge

from product_match.contract.filters import FieldFilter, FilterValue, ProductFilter


def edge_filter(product_filter: ProductFilter | None, lacking: str | None = None) -> Any:
    """Return `product_filter` as a `qdrant_edge.Filter`, of points without the vector `lacking`; None for all."""
    must, must_not = _conditions(product_filter) if product_filter is not None else ([], [])
    if lacking is not None:
        must_not.append(qdrant_edge.HasVectorCondition(lacking))
    return qdrant_edge.Filter(must=must, must_not=must_not) if must or must_not else None


def _conditions(product_filter: ProductFilter) -> tuple[list[Any], list[Any]]:
    """Return what must hold and what must not."""
    must: list[Any] = []
    must_not: list[Any] = []
    for field in product_filter.fields:
        if field.any_of is not None:
            must.append(_any_of(field, field.any_of))
        if field.none_of is not None:
            must_not.append(_any_of(field, field.none_of))
        if field.bounds:
            must.append(qdrant_edge.FieldCondition(field.field, range=qdrant_edge.RangeFloat(**field.bounds)))
        if field.contains is not None:
            substring = qdrant_edge.MatchSubstring(field.contains)
            must.append(qdrant_edge.FieldCondition(field.field, match=substring))
        if field.exists is not None:
            (must_not if field.exists else must).append(qdrant_edge.IsEmptyCondition(field.field))
    must += [edge_filter(part) for part in product_filter.all_of]
    must += [qdrant_edge.Filter(should=[edge_filter(part) for part in parts]) for parts in product_filter.any_of]
    must_not += [edge_filter(part) for part in product_filter.none_of]
    return must, must_not


def _any_of(field: FieldFilter, values: tuple[FilterValue, ...]) -> Any:
    if not field.is_number:
        return qdrant_edge.FieldCondition(field.field, match=qdrant_edge.MatchAny([str(value) for value in values]))
    ranges = [qdrant_edge.RangeFloat(gte=float(value), lte=float(value)) for value in values]
    return qdrant_edge.Filter(should=[qdrant_edge.FieldCondition(field.field, range=equal) for equal in ranges])
