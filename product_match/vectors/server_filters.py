"""Product filters as messages of a Qdrant server."""

from __future__ import annotations

from qdrant_client import grpc as qdrant

from product_match.contract.filters import FieldFilter, FilterValue, ProductFilter


def server_filter(product_filter: ProductFilter | None, lacking: str | None = None) -> qdrant.Filter | None:
    """Return `product_filter` as a message, of points without the vector `lacking`; None for all points."""
    if product_filter is None and lacking is None:
        return None
    message = qdrant.Filter() if product_filter is None else _message(product_filter)
    if lacking is not None:
        message.must_not.append(qdrant.Condition(has_vector=qdrant.HasVectorCondition(has_vector=lacking)))
    return message


def _message(product_filter: ProductFilter) -> qdrant.Filter:
    must: list[qdrant.Condition] = []
    must_not: list[qdrant.Condition] = []
    for field in product_filter.fields:
        if field.any_of is not None:
            must.append(_any_of(field, field.any_of))
        if field.none_of is not None:
            must_not.append(_any_of(field, field.none_of))
        if field.bounds:
            must.append(_range(field.field, field.bounds))
        if field.contains is not None:
            match = qdrant.Match(substring=field.contains)
            must.append(qdrant.Condition(field=qdrant.FieldCondition(key=field.field, match=match)))
        if field.exists is not None:
            empty = qdrant.Condition(is_empty=qdrant.IsEmptyCondition(key=field.field))
            (must_not if field.exists else must).append(empty)
    must += [_nested(_message(part)) for part in product_filter.all_of]
    must += [
        _nested(qdrant.Filter(should=[_nested(_message(part)) for part in parts])) for parts in product_filter.any_of
    ]
    must_not += [_nested(_message(part)) for part in product_filter.none_of]
    return qdrant.Filter(must=must, must_not=must_not)


def _nested(message: qdrant.Filter) -> qdrant.Condition:
    return qdrant.Condition(filter=message)


def _any_of(field: FieldFilter, values: tuple[FilterValue, ...]) -> qdrant.Condition:
    if not field.is_number:
        keywords = qdrant.RepeatedStrings(strings=[str(value) for value in values])
        match = qdrant.Match(keywords=keywords)
        return qdrant.Condition(field=qdrant.FieldCondition(key=field.field, match=match))
    equals = [_range(field.field, {"gte": float(value), "lte": float(value)}) for value in values]
    return _nested(qdrant.Filter(should=equals))


def _range(name: str, bounds: dict[str, float]) -> qdrant.Condition:
    return qdrant.Condition(field=qdrant.FieldCondition(key=name, range=qdrant.Range(**bounds)))
