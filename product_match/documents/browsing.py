"""Products that a filter fits, sorted, a page at a time: what a shop shows where nobody searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from product_match.contract.browsing import Bounds, Shelf, Shown
from product_match.contract.fitting import fits
from product_match.contract.products import FILTER_FIELDS, FieldType, point_id
from product_match.contract.sorting import ID
from product_match.documents.filters import mongo_query
from product_match.documents.mongo_errors import document_errors

if TYPE_CHECKING:
    from product_match.documents.store import Document, DocumentStore

_LIVE: Final[Mapping[str, Any]] = {"deleted": None}
_NUMBERS: Final = frozenset(field.name for field in FILTER_FIELDS if field.type is FieldType.NUMBER)
_LEAST_NUMBER: Final = -1e300


def browse(documents: DocumentStore, shelf: Shelf) -> Shown:
    """Return what a shelf shows.

    Raises:
        UnavailableError: The store does not answer.
    """
    query = {**_LIVE, **(mongo_query(shelf.filter) if shelf.filter is not None else {})}
    total = documents.count(shelf.filter)
    arranged = shelf.first or shelf.last
    products = _arranged_page(documents, query, shelf, total) if arranged else _page(documents, query, shelf)
    return Shown(
        products=products,
        total=total,
        bounds={name: _bounds(documents, query, name) for name in shelf.numbers},
    )


def _arranged_page(documents: DocumentStore, query: Mapping[str, Any], shelf: Shelf, total: int) -> list[Document]:
    """Return the page of a shelf on which some products stand first, and some last."""
    named = documents.fetch([point_id(product_id) for product_id in (*shelf.first, *shelf.last)])
    fitting = [product for product in named.values() if shelf.filter is None or fits(shelf.filter, product)]
    by_id = {product["id"]: product for product in fitting}
    first = [by_id[product_id] for product_id in shelf.first if product_id in by_id]
    last = [by_id[product_id] for product_id in shelf.last if product_id in by_id]
    between = total - len(first) - len(last)
    page = first[shelf.offset : shelf.offset + shelf.limit]
    passed = max(0, shelf.offset - len(first))
    wanted = min(shelf.limit - len(page), between - passed)
    if wanted > 0:
        others = {**query, "product_id": {"$nin": list(by_id)}}
        page += _page(documents, others, replace(shelf, offset=passed, limit=wanted))
    passed = max(0, passed - between)
    return page + last[passed : passed + shelf.limit - len(page)]


def _page(documents: DocumentStore, query: Mapping[str, Any], shelf: Shelf) -> list[Document]:
    if shelf.sort.field == ID:
        direction = -1 if shelf.sort.descending else 1
        return _found(documents, query, [("product_id", direction)], shelf.offset, shelf.limit)
    name = f"product.{shelf.sort.field}"
    having = _having(query, shelf.sort.field)
    order = [(name, -1 if shelf.sort.descending else 1), ("product_id", 1)]
    page = _found(documents, having, order, shelf.offset, shelf.limit)
    asked = query.get(name, {})
    if len(page) == shelf.limit or asked.keys() - {"$nin"}:
        # A full page, or none that lacks the field: all that is asked for but `$nin` asks for a value.
        return page
    passed = max(0, shelf.offset - documents.count_query(having)) if not page else 0
    lacking = {**query, name: {**asked, "$in": [None]}}
    return page + _found(documents, lacking, [("product_id", 1)], passed, shelf.limit - len(page))


def _having(query: Mapping[str, Any], field_name: str) -> dict[str, Any]:
    """Return a query for those that have the field; not by `$nor`, for which nx-27017 looks at every document."""
    name = f"product.{field_name}"
    least: float | str = _LEAST_NUMBER if field_name in _NUMBERS else ""
    return {**query, name: {"$gte": least, **query.get(name, {})}}


def _found(
    documents: DocumentStore, query: Mapping[str, Any], order: list[tuple[str, int]], offset: int, limit: int
) -> list[Document]:
    with document_errors("listing products"):
        found = documents.products.find(query, {"product": 1}, batch_size=limit + 1)
        return [document["product"] for document in found.sort(order).skip(offset).limit(limit)]


def _bounds(documents: DocumentStore, query: Mapping[str, Any], name: str) -> Bounds | None:
    having = _having(query, name)
    ends = [_found(documents, having, [(f"product.{name}", way)], 0, 1) for way in (1, -1)]
    if not all(ends):
        return None
    least, greatest = (product[name] for (product,) in ends)
    return Bounds(documents.count_query(having), least, greatest)
