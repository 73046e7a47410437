"""Changing single fields of products without encoding anything again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pymongo

from product_match.contract.errors import InvalidRequestError, NotFoundError, ProductMatchError, UnavailableError
from product_match.contract.products import TEXT_FIELDS, check_product, content_hash_of_digest, point_id
from product_match.documents.conditional_writes import Change, write_changes
from product_match.documents.mongo_errors import document_errors
from product_match.documents.records import Outcome, Receipt
from product_match.documents.store import Document, DocumentStore, chunked
from product_match.documents.writing import MAX_ATTEMPTS, check_storable

_CHUNK: Final = 200
_TIMEOUT_S: Final = 1.8
"""Longest update of a chunk: a dead store has to be told within two seconds."""

_FIELDS: Final = {
    "product": 1,
    "rev": 1,
    "write_id": 1,
    "content_hash": 1,
    "image_sha256": 1,
    "query_text": 1,
    "vectors": 1,
    "deleted": 1,
}
_NO_IMAGE: Final = hashlib.sha256(b"").hexdigest()


_Item = tuple[int, str, Mapping[str, Any]]
"""Row, product id and update."""


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What an update did to one product.

    Attributes:
        receipt: Id, revision and outcome.
        stale_words: Fields that changed and that the product's words are usually made of, while the embedding of its
            words was kept; index the product again to embed the new ones.
    """

    receipt: Receipt
    stale_words: tuple[str, ...] = ()


def update_products(
    documents: DocumentStore, updates: Sequence[Mapping[str, Any]]
) -> list[Updated | ProductMatchError]:
    """Merge fields into products; a field that is null is taken away.

    Args:
        documents: The store.
        updates: Each with the product's `id` and the fields to change. The same id twice is applied in order.

    Returns:
        One entry for each update: what it did, or the error that concerns it alone (NotFoundError for unknown ids).

    Raises:
        UnavailableError: The store does not answer. Sending all updates again is safe.
    """
    results: dict[int, Updated | ProductMatchError] = {}
    todo: list[_Item] = []
    for row, update in enumerate(updates):
        try:
            todo.append((row, check_product({"id": update.get("id")})["id"], update))
        except InvalidRequestError as error:
            results[row] = error
    # Updates of the same product go in separate rounds, so that each sees what the one before it did.
    while todo:
        seen: set[str] = set()
        first: list[_Item] = []
        later: list[_Item] = []
        for item in todo:
            (later if item[1] in seen else first).append(item)
            seen.add(item[1])
        for chunk in chunked(first, _CHUNK):
            results.update(_update_chunk(documents, chunk))
        todo = later
    return [results[row] for row in range(len(updates))]


def _update_chunk(documents: DocumentStore, chunk: Sequence[_Item]) -> dict[int, Updated | ProductMatchError]:
    results: dict[int, Updated | ProductMatchError] = {}
    with document_errors("updating products"), pymongo.timeout(_TIMEOUT_S):
        for _ in range(MAX_ATTEMPTS):
            ids = [point_id(product_id) for _, product_id, _ in chunk]
            held = {d["_id"]: d for d in documents.products.find({"_id": {"$in": ids}}, _FIELDS)}
            changes: list[Change] = []
            for (row, product_id, update), id_ in zip(chunk, ids, strict=True):
                try:
                    results[row], change = _merged(product_id, update, held.get(id_))
                except ProductMatchError as error:
                    results[row] = error
                    continue
                if change is not None:
                    changes.append(change)
            lost = write_changes(documents, changes)
            chunk = [item for item, id_ in zip(chunk, ids, strict=True) if id_ in lost]
            if not chunk:
                return results
    for row, product_id, _ in chunk:
        results[row] = UnavailableError(
            f"product {product_id}: other writers changed it {MAX_ATTEMPTS} times while it was being updated; "
            "try again"
        )
    return results


def _merged(product_id: str, update: Mapping[str, Any], document: Document | None) -> tuple[Updated, Change | None]:
    if document is None or document.get("deleted"):
        raise NotFoundError(f"product {product_id} is not in the catalogue; index it first, or check its id")
    before: Document = document["product"]
    merged = {**before, **{name: value for name, value in update.items() if name != "id"}}
    product = check_product(
        {name: value for name, value in merged.items() if value is not None or name not in update}
    )
    digest = bytes.fromhex(document.get("image_sha256") or _NO_IMAGE)
    new_hash = content_hash_of_digest(product, digest, document.get("query_text", ""))
    rev, outcome, change = int(document["rev"]), Outcome.UNCHANGED, None
    stale: tuple[str, ...] = ()
    if new_hash != document["content_hash"]:
        check_storable(product_id, product)
        rev, outcome = rev + 1, Outcome.UPDATED
        fields = {"product": product, "content_hash": new_hash}
        change = Change(id=document["_id"], before=document["write_id"], rev=rev, fields=fields)
        if document.get("query_text"):
            stale = tuple(name for name in TEXT_FIELDS if before.get(name) != product.get(name))
    receipt = Receipt(product_id=product_id, point_id=document["_id"], rev=rev, outcome=outcome)
    return Updated(receipt=receipt, stale_words=stale), change
