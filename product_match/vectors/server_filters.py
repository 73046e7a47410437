"""Product filters as messages of a Qdrant server."""

from __future__ import annotations

from qdrant_client import grpc as qdrant

from product_match.contract.filters import FieldFilter, FilterValue, ProductFilter


def server_filter(product_filter: ProductFilter | None, lacking: str | None = None) -> qdrant.Filter | None:
    """Return `product_filter` as a message, of points without the vector `lacking`; None for all points."""
    must: list[qdrant.Condition] = []
    must_not: list[qdrant.Condition] = []
    if lacking is not None:
        must_not.append(qdrant.Condition(has_vector=qdrant.HasVectorCondition(has_vector=lacking)))
    for field in product_filter.fields if product_filter is not None else ():
        if field.any_of is not None:
            must.append(_any_of(field, field.any_of))
        if field.none_of is not None:
            must_not.append(_any_of(field, field.none_of))
        if field.bounds:
            must.append(_range(field.field, field.bounds))
    return qdrant.Filter(must=must, must_not=must_not) if must or must_not else None


def _any_of(field: FieldFilter, values: tuple[FilterValue, ...]) -> qdrant.Condition:
    if not field.is_number:
        keywords = qdrant.RepeatedStrings(strings=[str(value) for value in values])
        match = qdrant.Match(keywords=keywords)
        return qdrant.Condition(field=qdrant.FieldCondition(key=field.field, match=match))
    equals = [_range(field.field, {"gte": float(value), "lte": float(value)}) for value in values]
    return qdrant.Condition(filter=qdrant.Filter(should=equals))


def _range(name: str, bounds: dict[str, float]) -> qdrant.Condition:
    return qdrant.Condition(field=qdrant.FieldCondition(key=name, range=qdrant.Range(**bounds)))
