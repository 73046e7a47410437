"""The document store: one document is one product, and the truth of the catalogue.

    {_id: point_id(product_id), product_id, product: {...}, vectors: ["image", "text"], image_embeds?, text_embeds?,
     image_sha256?, image_count?, query_text?, encoder: "name@rev", content_hash, rev, write_id, updated_at,
     pending?, deleted?}

`image_embeds` has a row for each photo, `image_count` of them where it is there, else one.

`pending` is there while the vector index has not taken this `rev`. `write_id` is new with every write, so whoever
wrote can tell its own write from another's with the same `rev`.

Only plain features of MongoDB are used, and of those only what nx-27017, the embedded store, does as well: no
update pipelines, no transactions, no replace with binary values, no range over `_id` (a full scan there), no compound
index with `_id` (every insert fails there).
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, Protocol

import pymongo
from pymongo.collection import Collection

from product_match.contract.browsing import Shelf, Shown
from product_match.contract.errors import ConfigError
from product_match.contract.filters import ProductFilter
from product_match.contract.products import FILTER_FIELDS, point_id
from product_match.documents.browsing import browse
from product_match.documents.connection import connect
from product_match.documents.filters import lookup_queries, mongo_query
from product_match.documents.images import image_page, prepare_images, remove_images
from product_match.documents.mongo_errors import document_errors
from product_match.settings import ServingSettings

logger = logging.getLogger(__name__)

Document = dict[str, Any]

PAGE_SIZE: Final = 500
"""Documents in one step of a walk: small, because nx-27017 keeps searches waiting for as long as a step takes."""
LIVE: Final[Mapping[str, Any]] = {"deleted": None}
"""Not `$ne`, which in nx-27017 matches no document without the field once it stands in an update."""

STATE_FIELDS: Final = {"product_id": 1, "rev": 1, "pending": 1, "deleted": 1, "encoder": 1, "vectors": 1}
WRITE_FIELDS: Final = {"rev": 1, "write_id": 1, "content_hash": 1, "encoder": 1, "deleted": 1}

_ONE_ANSWER: Final = 100_000
"""Documents in one answer of the store; without it the first has 101 and a second call fetches the rest."""

_DOCUMENTS_PER_SECOND: Final = 2000
_META_ID: Final = "encoder"


EVERYTHING: Final = "*"
"""Noted in place of ids where all products are removed."""


class ChangeNotes(Protocol):
    """Whoever wants to know which products change."""

    def changing(self, ids: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        """Change products of these point ids inside the block."""


class Unnoted:
    """Nobody wants to know."""

    def changing(self, ids: Sequence[str]) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """Change products inside the block."""
        return contextlib.nullcontext()


class DocumentStore:
    """The collection of products, read side; `writing`, `removal` and `applier` change it through `products`."""

    def __init__(
        self,
        client: pymongo.MongoClient[Document],
        settings: ServingSettings,
        encoder: str,
        notes: ChangeNotes | None = None,
    ) -> None:
        """Use the collections named by the settings.

        Args:
            client: Connected to the store.
            settings: Names of database and collection, and the time limit of a call.
            encoder: Identity (`name@revision`) of the encoder that serves.
            notes: Told which products are about to change; None where nobody asks.
        """
        database = client[settings.mongodb_database]
        self.encoder = encoder
        self.timeout_s = settings.store_timeout_s
        self.name = settings.collection
        self.notes: ChangeNotes = Unnoted() if notes is None else notes
        self.products: Collection[Document] = database[settings.document_collection]
        self.images: Collection[Document] = database[f"{settings.collection}_images"]
        self.rules: Collection[Document] = database[f"{settings.collection}_rules"]
        self.meta: Collection[Document] = database[f"{settings.collection}_meta"]
        self.claim_id = "_".join(filter(None, (_META_ID, settings.generation)))
        self._succeeds = settings.state_directory is not None
        self._database = database
        self._client = client

    def prepare(self) -> None:
        """Create the indexes and claim the collection for the encoder.

        Raises:
            ConfigError: The products were encoded by another encoder.
            UnavailableError: The store does not answer.
        """
        with document_errors("preparing the collection"):
            self.products.create_index("pending", name="pending", partialFilterExpression={"pending": True})
            self.products.create_index("product_id", name="product_id")
            self.products.create_index("image_sha256", name="image_sha256")
            for field in FILTER_FIELDS:
                self.products.create_index(f"product.{field.name}", name=f"product_{field.name}")
            prepare_images(self.images)
            self.meta.update_one({"_id": self.claim_id}, {"$setOnInsert": {"identity": self.encoder}}, upsert=True)
            claimed = (self.meta.find_one({"_id": self.claim_id}) or {}).get("identity")
            if claimed != self.encoder and self.products.find_one({}, {"_id": 1}) is None:
                self.meta.update_one(
                    {"_id": self.claim_id, "identity": claimed}, {"$set": {"identity": self.encoder}}
                )
                self.meta.delete_many({"of": self.claim_id})
                claimed = self.encoder
        if claimed != self.encoder:
            raise ConfigError(
                f"the catalogue was encoded by {claimed}, and this server runs {self.encoder}; start it with the "
                "encoder of the catalogue, or with another --state-dir or collection: with both servers up, "
                "`product-match export --url OLD | product-match index - --url NEW` encodes the catalogue again"
            )

    def fetch(self, ids: Sequence[str]) -> dict[str, Document]:
        """Return the product fields of the documents that are there, by `_id`: one `$in`.

        Args:
            ids: Point ids, as hits carry them.
        """
        if not ids:
            return {}
        query = {"_id": {"$in": list(dict.fromkeys(ids))}}
        with document_errors("reading products"), pymongo.timeout(self._read_limit_s(len(ids))):
            found = list(self.products.find(query, {"product": 1, "deleted": 1}, batch_size=_ONE_ANSWER))
        return {d["_id"]: d["product"] for d in found if not d.get("deleted") and "product" in d}

    def browse(self, shelf: Shelf) -> Shown:
        """Return what a shelf shows: products that a filter fits, sorted, a page of them."""
        return browse(self, shelf)

    def read(
        self, ids: Sequence[str], fields: Mapping[str, int] | None = None, *, hurry: bool = False
    ) -> dict[str, Document]:
        """Return whole documents, or some of their fields, by `_id`; tombstones included.

        Args:
            ids: Which.
            fields: Which fields; None for all.
            hurry: Whether a request waits for the answer, so that a store that hangs has to be told soon.
        """
        found: dict[str, Document] = {}
        for chunk in chunked(list(dict.fromkeys(ids)), PAGE_SIZE):
            limit_s = self._read_limit_s(len(chunk)) if hurry else None
            with document_errors("reading products"), pymongo.timeout(limit_s):
                documents = self.products.find({"_id": {"$in": chunk}}, fields, batch_size=_ONE_ANSWER)
                found.update((document["_id"], document) for document in documents)
        return found

    def pending(self, limit: int) -> list[Document]:
        """Return up to `limit` whole documents that the vector index has not taken yet."""
        with document_errors("reading pending products"):
            return list(self.products.find({"pending": True}, limit=limit, batch_size=_ONE_ANSWER))

    def still_pending(self, revs: Mapping[str, int]) -> dict[str, int]:
        """Return those of `revs` (point id to rev) that the vector index has not taken yet."""
        query = {"_id": {"$in": list(revs)}, "pending": True}
        with document_errors("reading pending products"), pymongo.timeout(self.timeout_s):
            waiting = {document["_id"] for document in self.products.find(query, {"_id": 1}, batch_size=_ONE_ANSWER)}
        return {id_: rev for id_, rev in revs.items() if id_ in waiting}

    def walk(
        self,
        query: Mapping[str, Any] | None = None,
        fields: Mapping[str, int] | None = None,
        *,
        page_size: int = PAGE_SIZE,
    ) -> Iterator[list[Document]]:
        """Yield documents in the order of product ids, a page at a time."""
        after = ""
        while page := self.page(after, page_size, query, fields):
            yield page
            if len(page) < page_size:
                return
            after = page[-1]["product_id"]

    def page(
        self,
        after: str,
        limit: int,
        query: Mapping[str, Any] | None = None,
        fields: Mapping[str, int] | None = None,
    ) -> list[Document]:
        """Return up to `limit` documents whose product id is above `after`, in the order of product ids."""
        selector = {**(query or {}), "product_id": {"$gt": after}}
        wanted = None if fields is None else {**fields, "product_id": 1}
        with document_errors("listing products"):
            found = self.products.find(selector, wanted, batch_size=_ONE_ANSWER)
            return list(found.sort("product_id", 1).limit(limit))

    def hashes(self, product_ids: Sequence[str]) -> dict[str, str]:
        """Return the content hashes of the products that this encoder has encoded, by product id."""
        fields = {"product_id": 1, "content_hash": 1, "encoder": 1, "deleted": 1}
        found = self.read([point_id(product_id) for product_id in product_ids], fields, hurry=True)
        return {
            d["product_id"]: d["content_hash"]
            for d in found.values()
            if not d.get("deleted") and d["encoder"] == self.encoder
        }

    def image_page(self, after: str, limit: int) -> list[str]:
        """Return up to `limit` digests of photos above `after`, in order."""
        return image_page(self.images, after, limit)

    def remove_images(self, digests: Sequence[str]) -> int:
        """Remove photos that nobody uses, unless they were kept lately, and return how many were removed."""
        return remove_images(self.images, digests)

    def unused_images(self, digests: Sequence[str]) -> list[str]:
        """Return those of `digests` that no product has as its photo, in this generation or another.

        Args:
            digests: In order, as `image_page` gives them: what lies between the first and the last is looked at.
        """
        # Not `$in`, for which nx-27017 looks at every document: seconds for 100,000, in which it answers no search.
        query = {"image_sha256": {"$gte": min(digests), "$lte": max(digests)}}
        used: set[str] = set()
        with document_errors("looking for photos in use"):
            for generation in self.generations():
                used.update(self._database[generation].distinct("image_sha256", query))
        return [digest for digest in digests if digest not in used]

    def count(self, product_filter: ProductFilter | None = None) -> int:
        """Return how many products there are, tombstones left out."""
        if product_filter is None:
            # A tombstone is pending until it is gone, and `pending` has an index: to look at every document takes
            # nx-27017 half a second for 100,000, in which it answers no search.
            return self.count_query({}) - self.count_query({"pending": True, "deleted": True})
        lookups = lookup_queries(product_filter)
        if lookups is None:
            return self.count_query({**LIVE, **mongo_query(product_filter)})
        return sum(self.count_query(query) for query in lookups)

    def count_pending(self) -> int:
        """Return how many documents, tombstones included, the vector index has not taken yet."""
        return self.count_query({"pending": True})

    def drop(self) -> None:
        """Remove every product and photo, those kept for a rollback included."""
        with self.notes.changing([EVERYTHING]), document_errors("dropping the catalogue"):
            for generation in self.generations():
                self._database[generation].drop()
            self.images.drop()
            self.meta.delete_many({"of": self.claim_id})
            self.prepare()

    def generations(self) -> list[str]:
        """Return the names of the collections of documents that there are, one for each generation of encoders."""
        if not self._succeeds:
            return [self.products.name]
        pattern = re.compile(re.escape(self.name) + r"(_[0-9a-f]{12})?")
        with document_errors("listing the collections"):
            names = self._database.list_collection_names()
        return sorted({self.products.name, *(name for name in names if pattern.fullmatch(name))})

    def remove_generations(self, kept: Sequence[str]) -> None:
        """Remove the products of every generation but those of these names."""
        stay = {self.name if not name else f"{self.name}_{name}" for name in kept}
        for collection in set(self.generations()) - stay:
            with document_errors("removing the products of an encoder that is no longer kept"):
                self._database[collection].drop()
                claim_id = _META_ID + collection[len(self.name) :]
                self.meta.delete_one({"_id": claim_id})
                self.meta.delete_many({"of": claim_id})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read_limit_s(self, documents: int) -> float:
        return self.timeout_s + documents / _DOCUMENTS_PER_SECOND

    def count_query(self, query: Mapping[str, Any]) -> int:
        """Return how many documents fit a query."""
        # Not count_documents: nx-27017 loads every document for it, and counts an aggregation in SQL.
        pipeline: list[Document] = [*([{"$match": dict(query)}] if query else []), {"$count": "n"}]
        with document_errors("counting products"):
            return next((int(answer["n"]) for answer in self.products.aggregate(pipeline)), 0)


def open_documents(settings: ServingSettings, encoder: str, notes: ChangeNotes | None = None) -> DocumentStore:
    """Connect to the document store and make it ready.

    Args:
        settings: Where it is.
        encoder: Identity (`name@revision`) of the encoder that serves.
        notes: Told which products are about to change; None where nobody asks.

    Raises:
        ConfigError: Wrong URI or credentials, or the products were encoded by another encoder.
        UnavailableError: The store does not answer.
    """
    documents = DocumentStore(connect(settings), settings, encoder, notes)
    try:
        documents.prepare()
    except Exception:
        documents.close()
        raise
    return documents


def now() -> str:
    """Return the time as documents hold it: ISO 8601, UTC; nx-27017 loses the type of a date in an update."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def chunked(items: Sequence[Any], size: int) -> Iterable[list[Any]]:
    """Yield `items` in lists of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
