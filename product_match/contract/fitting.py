"""Whether a product fits a filter, read from its fields; the stores mean the same by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from product_match.contract.filters import FieldFilter, ProductFilter


def fits(product_filter: ProductFilter, product: Mapping[str, Any]) -> bool:
    """Say whether a product fits a filter."""
    return (
        all(_holds(field, product.get(field.field)) for field in product_filter.fields)
        and all(fits(part, product) for part in product_filter.all_of)
        and all(any(fits(part, product) for part in parts) for parts in product_filter.any_of)
        and not any(fits(part, product) for part in product_filter.none_of)
    )


def _holds(field: FieldFilter, value: Any) -> bool:
    if value is None:
        asked = (field.any_of, field.contains, *field.bounds.values())
        return not field.exists and all(condition is None for condition in asked)
    return (
        field.exists is not False
        and (field.any_of is None or value in field.any_of)
        and (field.none_of is None or value not in field.none_of)
        and (field.contains is None or field.contains in value)
        and (field.gte is None or value >= field.gte)
        and (field.gt is None or value > field.gt)
        and (field.lte is None or value <= field.lte)
        and (field.lt is None or value < field.lt)
    )
