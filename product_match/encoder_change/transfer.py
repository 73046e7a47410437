"""Brings one generation's documents in step with another's: embeds what is new, and reuses what has not changed.

It may be stopped at any moment and begun again: what is in step already is told by `rev` and content hash. Products
that change meanwhile are noted by their writers (`writers`) and brought over again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import pymongo
from bson.binary import Binary

from product_match.contract.errors import InvalidRequestError, ProductMatchError
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR
from product_match.documents.images import load_images
from product_match.documents.mongo_errors import document_errors
from product_match.documents.records import EMBEDDING_FIELDS, IMAGE_COUNT, pack_vector
from product_match.documents.removal import remove_products
from product_match.documents.store import EVERYTHING, LIVE, PAGE_SIZE, Document, DocumentStore, chunked
from product_match.encoder_change.embedding import Embedding

BATCH: Final = 32
"""Products that are embedded at a time."""

EXAMPLES: Final = 5

_EMBEDDED: Final = ("image_sha256", "query_text")
"""Fields of a document that say what its embeddings were made of."""

_COMPARED: Final = dict.fromkeys(("rev", "content_hash", "deleted", "write_id", *_EMBEDDED), 1)
_OWN: Final = {"_id", "encoder", "vectors", "pending", "write_id", *EMBEDDING_FIELDS.values()}
"""Fields that each generation has for itself."""


class ProductEmbedder(Protocol):
    """What embeds; see Embedder."""

    def photos(self, rows: Sequence[bytes]) -> list[Embedding]:
        """Embed encoded photos."""

    def words(self, rows: Sequence[str]) -> list[Embedding]:
        """Embed words."""


class Transfer:
    """Makes `target` hold the products of `source`, embedded by another encoder.

    Attributes:
        applied: Whether an applier takes what is written to an index; if not, the index is derived afterwards.
        embedded: Products that were embedded.
        reused: Products whose embeddings were there and still fit.
        failed: What is wrong with the products that cannot be embedded, by point id.
    """

    def __init__(
        self,
        source: DocumentStore,
        target: DocumentStore,
        embedder: ProductEmbedder,
        report: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare; `report` is told how many products were compared so far."""
        self._source, self._target, self._embedder, self._report = source, target, embedder, report
        self.applied = False
        self.embedded = 0
        self.reused = 0
        self.failed: dict[str, str] = {}

    def everything(self) -> None:
        """Bring over every product, and take away those that are gone."""
        compared = 0
        for page in self._source.walk(LIVE, _COMPARED):
            self._bring(page)
            compared += len(page)
            self._report(compared)
        for page in self._target.walk(LIVE, {"_id": 1}):
            held = self._source.read([document["_id"] for document in page], {"deleted": 1})
            self._take_away([d["_id"] for d in page if held.get(d["_id"], {"deleted": True}).get("deleted")])

    def products(self, ids: Sequence[str]) -> None:
        """Bring over the products of these point ids, or take them away."""
        if EVERYTHING in ids:
            self.everything()
            return
        for chunk in chunked(ids, PAGE_SIZE):
            held = self._source.read(chunk, _COMPARED)
            live = [document for document in held.values() if not document.get("deleted")]
            self._bring(live)
            self._take_away(sorted(set(chunk) - {document["_id"] for document in live}))

    def check(self) -> None:
        """Make sure that no product is left behind.

        Raises:
            ProductMatchError: Some cannot be embedded.
        """
        if self.failed:
            examples = "; ".join(list(self.failed.values())[:EXAMPLES])
            raise ProductMatchError(
                f"{len(self.failed)} products cannot be embedded by the new encoder, such as: {examples}; load them "
                "again (`product-match index --force`) or delete them, and run the same command again"
            )

    def _bring(self, page: Sequence[Document]) -> None:
        held = self._target.read([document["_id"] for document in page], _COMPARED)
        behind = [document["_id"] for document in page if not _in_step(document, held.get(document["_id"]))]
        for ids in chunked(behind, BATCH):
            self._copy([d for d in self._source.read(ids).values() if not d.get("deleted")], held)

    def _copy(self, documents: Sequence[Document], held: Mapping[str, Document]) -> None:
        fitting = {d["_id"] for d in documents if _embeddings_fit(d, held.get(d["_id"]))}
        bodies: dict[str, Document] = {d["_id"]: {} for d in documents if d["_id"] in fitting}
        embedded = self._embed([d for d in documents if d["_id"] not in fitting])
        bodies |= embedded
        self.reused += len(fitting)
        self.embedded += len(embedded)
        write_id = uuid.uuid4().hex
        operations = [
            _operation(document, bodies[document["_id"]], held.get(document["_id"]), write_id, pending=self.applied)
            for document in documents
            if document["_id"] in bodies
        ]
        if operations:
            with document_errors("writing products of the new encoder"):
                self._target.products.bulk_write(operations, ordered=False)

    def _embed(self, documents: Sequence[Document]) -> dict[str, Document]:
        """Return what each product's document holds of embeddings; those that cannot be embedded are noted."""
        for document in documents:
            self.failed.pop(document["_id"], None)
        given: dict[str, Document] = {document["_id"]: {} for document in documents}
        shown: list[tuple[Document, bytes]] = []
        for document in documents:
            photos = load_images(self._source.images, document["image_sha256"]) if "image_sha256" in document else []
            if photos is None:
                self._fail(document, InvalidRequestError("its photo is not kept any more"))
            shown += [(document, photo) for photo in photos or ()]
        for part in chunked(shown, BATCH):
            self._put(given, IMAGE_VECTOR, [d for d, _ in part], self._embedder.photos([photo for _, photo in part]))
        worded = [document for document in documents if document.get("query_text")]
        self._put(given, TEXT_VECTOR, worded, self._embedder.words([d["query_text"] for d in worded]))
        for body in given.values():
            body["encoder"] = self._target.encoder
            body["vectors"] = sorted(name for name, field in EMBEDDING_FIELDS.items() if field in body)
        return {id_: body for id_, body in given.items() if id_ not in self.failed}

    def _put(
        self,
        given: Mapping[str, Document],
        name: str,
        documents: Sequence[Document],
        embeddings: Sequence[Embedding],
    ) -> None:
        for document, embedding in zip(documents, embeddings, strict=True):
            if isinstance(embedding, ProductMatchError):
                self._fail(document, embedding)
            else:
                # A product's photos come one after the other, and their rows lie so too.
                body, field = given[document["_id"]], EMBEDDING_FIELDS[name]
                body[field] = Binary(body.get(field, b"") + pack_vector(embedding))

    def _fail(self, document: Document, error: ProductMatchError) -> None:
        self.failed[document["_id"]] = f"product {document['product_id']}: {error}"

    def _take_away(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            self.failed.pop(id_, None)
        if not ids:
            return
        if not self.applied:
            with document_errors("removing products of the new encoder"):
                self._target.products.delete_many({"_id": {"$in": list(ids)}})
            return
        held = self._target.read(ids, {"product_id": 1, "deleted": 1})
        remove_products(self._target, [d["product_id"] for d in held.values() if not d.get("deleted")])


def _in_step(document: Document, held: Document | None) -> bool:
    if held is None or held.get("deleted"):
        return False
    return bool(held["rev"] == document["rev"] and held["content_hash"] == document["content_hash"])


def _embeddings_fit(document: Document, held: Document | None) -> bool:
    """Say whether the embeddings that are held were made of the same photo and words."""
    if held is None or held.get("deleted"):
        return False
    return all(held.get(name) == document.get(name) for name in _EMBEDDED)


def _operation(document: Document, embedded: Document, held: Document | None, write_id: str, *, pending: bool) -> Any:
    body = {name: value for name, value in document.items() if name not in _OWN} | embedded | {"write_id": write_id}
    if pending:
        body["pending"] = True
    if held is None:
        return pymongo.InsertOne({"_id": document["_id"], **body})
    gone = [name for name in ("deleted", IMAGE_COUNT, *_EMBEDDED) if name not in body]
    if embedded:
        gone += [name for name in EMBEDDING_FIELDS.values() if name not in embedded]
    update: Document = {"$set": body}
    if gone:
        update["$unset"] = dict.fromkeys(gone, "")
    # What was held may be a tombstone that the applier has taken away by now.
    return pymongo.UpdateOne({"_id": document["_id"]}, update, upsert=bool(embedded))
