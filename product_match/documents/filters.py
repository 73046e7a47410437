"""Product filters as queries on documents."""

from __future__ import annotations

import re
from typing import Any, Final

from product_match.contract.filters import FieldFilter, ProductFilter

MAX_LOOKUPS: Final = 32
"""Values of a field that are looked up one by one; to look at every document is faster then."""


def mongo_query(product_filter: ProductFilter) -> dict[str, Any]:
    """Return `product_filter` as a query on documents."""
    conditions = {f"product.{field.field}": _condition(field) for field in product_filter.fields}
    query: dict[str, Any] = {name: condition for name, condition in conditions.items() if condition}
    absent = [_lacks(field) for field in product_filter.fields if field.exists]
    absent += [mongo_query(part) for part in product_filter.none_of]
    joined = [_lacks(field) for field in product_filter.fields if field.exists is False]
    joined += [mongo_query(part) for part in product_filter.all_of]
    joined += [{"$or": [mongo_query(part) for part in parts]} for parts in product_filter.any_of]
    if absent:
        query["$nor"] = absent
    if joined:
        query["$and"] = joined
    return query


def _lacks(field: FieldFilter) -> dict[str, Any]:
    # Neither `$exists` nor plain null: inside `$and` and `$nor`, nx-27017 takes these for fields that are not there.
    return {f"product.{field.field}": {"$in": [None]}}


def _condition(field: FieldFilter) -> dict[str, Any]:
    condition: dict[str, Any] = {f"${name}": bound for name, bound in field.bounds.items()}
    if field.any_of is not None:
        condition["$in"] = list(field.any_of)
    if field.none_of is not None:
        condition["$nin"] = list(field.none_of)
    if field.contains is not None:
        condition["$regex"] = re.escape(field.contains)
    return condition


def lookup_queries(product_filter: ProductFilter) -> list[dict[str, Any]] | None:
    """Return queries that an index answers, each of which finds other documents, and all of them what fits.

    They find no tombstones either. None where no condition says what a field is, or it may be too many values.
    """
    query = mongo_query(product_filter)
    one_of = [field for field in product_filter.fields if field.any_of is not None]
    if not one_of:
        return [query] if any(field.bounds for field in product_filter.fields) else None
    for field in one_of:
        values = dict.fromkeys(field.any_of or ())
        condition = query[f"product.{field.field}"]
        del condition["$in"]
        if field is one_of[0]:
            expanded = [{**condition, "$eq": value} for value in values]
        elif len(values) == 1:
            condition["$eq"] = next(iter(values))
        else:
            condition["$in"] = list(values)
    if len(expanded) > MAX_LOOKUPS:
        return None
    return [{**query, f"product.{one_of[0].field}": condition} for condition in expanded]
