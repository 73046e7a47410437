"""Product filters as Qdrant Edge's own classes."""

from __future__ import annotations

from typing import Any

import qdrant_edge

from product_match.contract.filters import FieldFilter, FilterValue, ProductFilter


def edge_filter(product_filter: ProductFilter | None, lacking: str | None = None) -> Any:
    """Return `product_filter` as a `qdrant_edge.Filter`, of points without the vector `lacking`; None for all."""
    must: list[Any] = []
    must_not: list[Any] = []
    if lacking is not None:
        must_not.append(qdrant_edge.HasVectorCondition(lacking))
    for field in product_filter.fields if product_filter is not None else ():
        if field.any_of is not None:
            must.append(_any_of(field, field.any_of))
        if field.none_of is not None:
            must_not.append(_any_of(field, field.none_of))
        if field.bounds:
            must.append(qdrant_edge.FieldCondition(field.field, range=qdrant_edge.RangeFloat(**field.bounds)))
    return qdrant_edge.Filter(must=must, must_not=must_not) if must or must_not else None


def _any_of(field: FieldFilter, values: tuple[FilterValue, ...]) -> Any:
    if not field.is_number:
        return qdrant_edge.FieldCondition(field.field, match=qdrant_edge.MatchAny([str(value) for value in values]))
    ranges = [qdrant_edge.RangeFloat(gte=float(value), lte=float(value)) for value in values]
    return qdrant_edge.Filter(should=[qdrant_edge.FieldCondition(field.field, range=equal) for equal in ranges])
