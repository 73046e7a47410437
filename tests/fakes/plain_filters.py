"""Filters read as they are written: what every store is held to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from product_match.contract.filters import FieldFilter, ProductFilter


def fits(product_filter: ProductFilter, product: Mapping[str, Any]) -> bool:
    """Say whether a product fits a filter that has been read."""
    return (
        all(_holds(field, product.get(field.field)) for field in product_filter.fields)
        and all(fits(part, product) for part in product_filter.all_of)
        and all(any(fits(part, product) for part in parts) for parts in product_filter.any_of)
        and not any(fits(part, product) for part in product_filter.none_of)
    )


def _holds(field: FieldFilter, value: Any) -> bool:
    there = value is not None
    return not (
        (field.exists is not None and field.exists is not there)
        or (field.none_of is not None and there and value in field.none_of)
        or (field.any_of is not None and (not there or value not in field.any_of))
        or (field.contains is not None and (not there or field.contains not in value))
        or (field.gte is not None and (not there or value < field.gte))
        or (field.gt is not None and (not there or value <= field.gt))
        or (field.lte is not None and (not there or value > field.lte))
        or (field.lt is not None and (not there or value >= field.lt))
    )
