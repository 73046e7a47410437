"""Removing products: tombstones, which the applier carries into the index and then takes away."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from product_match.contract.filters import ProductFilter
from product_match.contract.products import point_id
from product_match.documents.filters import mongo_query
from product_match.documents.mongo_errors import document_errors
from product_match.documents.records import EMBEDDING_FIELDS, IMAGE_COUNT
from product_match.documents.selection import fitting_page
from product_match.documents.store import LIVE, DocumentStore, chunked, now

_CHUNK: Final = 200
_IDENTITY: Final = {"product_id": 1, "rev": 1}
_CONTENT: Final = (
    *("product", "vectors", "query_text", "image_sha256", "content_hash"),
    *EMBEDDING_FIELDS.values(),
    IMAGE_COUNT,
)


def remove_products(documents: DocumentStore, product_ids: Sequence[str]) -> dict[str, int]:
    """Mark products as removed.

    Args:
        documents: The store.
        product_ids: Which; unknown ones are left out of the answer.

    Returns:
        The tombstone's rev by product id, of the products that were there.
    """
    return _remove(documents, [point_id(product_id) for product_id in dict.fromkeys(product_ids)], {})


def remove_matching(documents: DocumentStore, product_filter: ProductFilter, limit: int) -> dict[str, int]:
    """Mark up to `limit` products that fit `product_filter` as removed; see remove_products."""
    removed: dict[str, int] = {}
    while len(removed) < limit:
        page = fitting_page(documents, product_filter, "", min(_CHUNK, limit - len(removed)), {"product_id": 1})
        # The filter stands in the change as well: a product that has changed and does not fit any more stays.
        gone = _remove(documents, [document["_id"] for document in page], mongo_query(product_filter))
        if not gone:
            break
        removed.update(gone)
    return removed


def _remove(documents: DocumentStore, ids: Sequence[str], condition: dict[str, Any]) -> dict[str, int]:
    removed: dict[str, int] = {}
    for chunk in chunked(ids, _CHUNK):
        write_id = uuid.uuid4().hex
        change = {
            "$set": {"deleted": True, "pending": True, "write_id": write_id, "updated_at": now()},
            "$inc": {"rev": 1},
            "$unset": dict.fromkeys(_CONTENT, ""),
        }
        query = {"_id": {"$in": chunk}, **LIVE, **condition}
        with document_errors("removing products"):
            before = {d["_id"]: d for d in documents.products.find(query, _IDENTITY)}
            if not before:
                continue
            with documents.notes.changing(chunk):
                matched = documents.products.update_many(query, change).matched_count
            gone = set(before) if matched == len(before) else _removed(documents, list(before), write_id)
        removed.update((before[id_]["product_id"], int(before[id_]["rev"]) + 1) for id_ in gone)
    return removed


def _removed(documents: DocumentStore, ids: Sequence[str], write_id: str) -> set[str]:
    """Return which of `ids` became tombstones by `write_id`: the applier may have taken these away already."""
    now = {d["_id"]: d["write_id"] for d in documents.products.find({"_id": {"$in": list(ids)}}, {"write_id": 1})}
    return {id_ for id_ in ids if now.get(id_, write_id) == write_id}
