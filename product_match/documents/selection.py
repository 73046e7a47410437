"""Pages of the products that a filter fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from product_match.contract.filters import ProductFilter
from product_match.documents.filters import lookup_queries, mongo_query
from product_match.documents.store import LIVE, Document, DocumentStore

FEW: Final = 2000
"""Products that fit a filter up to which they are found and sorted at once, rather than by walking through all."""


def fitting_page(
    documents: DocumentStore,
    product_filter: ProductFilter | None,
    after: str,
    limit: int,
    fields: Mapping[str, int] | None = None,
) -> list[Document]:
    """Return up to `limit` products that fit, whose id is above `after`, in the order of ids.

    Args:
        documents: The store.
        product_filter: None for all products.
        after: An id, or empty to begin.
        limit: Most products.
        fields: Which fields of the documents; None for all.
    """
    query: Document = {**LIVE, **(mongo_query(product_filter) if product_filter else {})}
    lookups = lookup_queries(product_filter) if product_filter else None
    if lookups is not None and len(lookups) == 1 and documents.count_query(lookups[0]) <= FEW:
        # nx-27017 goes by the filter's index here; for `$in` it walks by product id, which is faster for many.
        query = lookups[0]
    return documents.page(after, limit, query, fields)
