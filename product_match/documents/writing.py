"""Writing products: a whole Triton batch in one read and one bulk write, and one of each for its photos."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import bson
import pymongo
from bson.errors import BSONError

from product_match.contract.errors import InvalidRequestError, ProductMatchError, UnavailableError
from product_match.contract.products import photos_digest, point_id
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR
from product_match.documents.conditional_writes import Change, write_changes
from product_match.documents.images import store_images
from product_match.documents.mongo_errors import document_errors
from product_match.documents.records import (
    EMBEDDING_FIELDS,
    IMAGE_COUNT,
    Outcome,
    ProductWrite,
    Receipt,
    pack_vector,
)
from product_match.documents.store import WRITE_FIELDS, Document, DocumentStore

logger = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 5
"""Times that a product is written again because another writer was faster."""

WRITE_TIMEOUT_S: Final = 1.5
"""Longest write of a batch without photos: a dead store has to be told within two seconds."""

BYTES_PER_SECOND: Final = 5_000_000
"""Photos add to that time at this rate, which the slowest store keeps."""

_OPTIONAL_FIELDS: Final = (*EMBEDDING_FIELDS.values(), IMAGE_COUNT, "image_sha256", "query_text", "deleted")


@dataclass(kw_only=True)
class _Write:
    """One row on its way: what goes into the document, and what became of it."""

    row: int
    id: str
    product_id: str
    body: Document
    photos: Sequence[bytes]
    rev: int = 0
    outcome: Outcome = Outcome.UNCHANGED

    def receipt(self) -> Receipt:
        return Receipt(product_id=self.product_id, point_id=self.id, rev=self.rev, outcome=self.outcome)


def write_products(documents: DocumentStore, batch: Sequence[ProductWrite]) -> list[Receipt | ProductMatchError]:
    """Write products, each of which is created, updated or left alone where nothing changed.

    The same id twice in a batch is written in order: the last one stays. A product that another writer changes at the
    same time is read and written again, so no update is lost.

    Args:
        documents: The store.
        batch: Products, in order.

    Returns:
        One entry for each product: its receipt, or the error that concerns it alone.

    Raises:
        UnavailableError: The store does not answer. Some products may have been written; writing them again is safe.
    """
    results: dict[int, Receipt | ProductMatchError] = {}
    writes: list[_Write] = []
    for row, item in enumerate(batch):
        try:
            write = _prepare(row, item, documents.encoder)
        except InvalidRequestError as error:
            results[row] = error
            continue
        writes.append(write)
    limit_s = WRITE_TIMEOUT_S + sum(len(photo) for write in writes for photo in write.photos) / BYTES_PER_SECOND
    with document_errors("writing products"), pymongo.timeout(limit_s):
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                logger.info("%d products were changed by another writer, attempt %d", len(writes), attempt + 1)
            lost = _write_once(documents, writes)
            results.update((write.row, write.receipt()) for write in writes if write.id not in lost)
            writes = [write for write in writes if write.id in lost]
            if not writes:
                break
    for write in writes:
        results[write.row] = UnavailableError(
            f"product {write.product_id}: other writers changed it {MAX_ATTEMPTS} times while it was being written; "
            "send it again"
        )
    return [results[row] for row in range(len(batch))]


def check_storable(product_id: str, body: Mapping[str, Any]) -> None:
    """Raise InvalidRequestError where a document cannot hold `body`: one such must not fail a whole bulk write."""
    try:
        bson.encode(body)
    except (BSONError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidRequestError(
            f"product {product_id}: cannot be stored ({error}); numbers must fit 64 bits, names must be without NUL, "
            "text must be plain Unicode"
        ) from error


def _prepare(row: int, item: ProductWrite, encoder: str) -> _Write:
    if item.image_embeds is None and item.text_embeds is None:
        raise InvalidRequestError(
            f"product {item.product_id}: has neither a photo nor words; give it a photo, a query_text, "
            "or at least a name"
        )
    body: Document = {
        "product_id": item.product_id,
        "product": dict(item.product),
        "encoder": encoder,
        "content_hash": item.content_hash(),
    }
    embeddings = {IMAGE_VECTOR: item.image_embeds, TEXT_VECTOR: item.text_embeds}
    given = {name: vector for name, vector in embeddings.items() if vector is not None}
    body["vectors"] = sorted(given)
    for name, vector in given.items():
        body[EMBEDDING_FIELDS[name]] = pack_vector(vector)
    if item.photos:
        body["image_sha256"] = photos_digest(item.photos).hex()
    if len(item.photos) > 1:
        body[IMAGE_COUNT] = len(item.photos)
    if item.query_text:
        body["query_text"] = item.query_text
    check_storable(item.product_id, body)
    id_ = point_id(item.product_id)
    return _Write(row=row, id=id_, product_id=item.product_id, body=body, photos=item.photos)


def _write_once(documents: DocumentStore, writes: Sequence[_Write]) -> set[str]:
    """Write the products that changed, and return the ids that another writer won."""
    if not writes:
        return set()
    ids = list({write.id for write in writes})
    before = {d["_id"]: d for d in documents.products.find({"_id": {"$in": ids}}, WRITE_FIELDS)}
    states = {id_: _state(document) for id_, document in before.items()}
    final: dict[str, _Write] = {}
    for write in writes:
        rev, held = states.get(write.id, (0, None))
        wanted = (write.body["content_hash"], write.body["encoder"])
        if held == wanted:
            write.rev, write.outcome = rev, Outcome.UNCHANGED
            continue
        write.rev = rev + 1
        write.outcome = Outcome.CREATED if held is None else Outcome.UPDATED
        states[write.id] = (write.rev, wanted)
        final[write.id] = write
    # Photos first: a document never names a photo that is not there.
    photos = {w.body["image_sha256"]: w.photos for w in final.values() if w.photos}
    store_images(documents.images, photos)
    return write_changes(documents, [_change(write, before.get(id_)) for id_, write in final.items()])


def _state(document: Document) -> tuple[int, tuple[str, str] | None]:
    """Return rev, and content hash and encoder where the document is no tombstone."""
    if document.get("deleted"):
        return int(document["rev"]), None
    return int(document["rev"]), (document["content_hash"], document["encoder"])


def _change(write: _Write, before: Document | None) -> Change:
    gone = [] if before is None else [name for name in _OPTIONAL_FIELDS if name not in write.body]
    held = None if before is None else before["write_id"]
    return Change(id=write.id, before=held, rev=write.rev, fields=write.body, gone=gone)
