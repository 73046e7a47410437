"""Photos, kept once per SHA-256 so that a later encoder can embed the catalogue again.

    {_id: <sha256>, digest: <sha256>, parts: ["<part id>", ...], size, sizes?, kept_at}   says that the photo is there
    {_id: "<part id>", bytes}                                  a document may hold 16 MB, a photo 20 MiB

The photos of a product that has several are kept together, under the digest of their digests; `sizes` tells them
apart. So a document names its photos in one field, which every store finds by an index.

The parts are written first, so where the small document is there the photo is whole. Part ids are new with every
write, so one writer's parts are never another's. `kept_at` is renewed when a photo is used again, and only photos
that nobody uses and that were not kept for a while are removed.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pymongo
from bson.binary import Binary
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from product_match.documents.mongo_errors import DUPLICATE_KEY, document_errors

PART_BYTES: Final = 4 * 1024 * 1024
RENEW_S: Final = 1800.0
"""Age at which a photo that is used again is noted as kept anew."""

KEEP_S: Final = 3600.0
"""Least age of an unused photo that is removed: a writer may have found it there and be about to use it."""

_MARK: Final = {"digest": 1, "kept_at": 1}

Images = Collection[dict[str, Any]]


def prepare_images(collection: Images) -> None:
    """Create the index that walks need."""
    collection.create_index("digest", name="digest")


def store_images(collection: Images, images: Mapping[str, Sequence[bytes]]) -> None:
    """Keep the photos of products: one read, and one bulk write where something is new.

    Call it within `document_errors` and a time limit.

    Args:
        collection: Where photos lie.
        images: A product's photos by their digest; see `photos_digest`.
    """
    if not images:
        return
    now = time.time()
    held = {mark["_id"]: mark["kept_at"] for mark in collection.find({"_id": {"$in": list(images)}}, _MARK)}
    fresh = [digest for digest in images if digest not in held]
    aged = [digest for digest, kept_at in held.items() if now - kept_at > RENEW_S]
    if aged:
        renewed = collection.update_many({"_id": {"$in": aged}}, {"$set": {"kept_at": now}}).matched_count
        # One that is gone by now was just removed as unused.
        fresh += aged if renewed < len(aged) else []
    # In order, so that the mark of a photo comes after all its parts, whatever happens in between.
    documents = [document for digest in fresh for document in _documents(digest, images[digest], now)]
    surplus: list[str] = []
    while documents:
        try:
            collection.bulk_write([pymongo.InsertOne(document) for document in documents], ordered=True)
            break
        except BulkWriteError as error:
            (failed,) = error.details["writeErrors"]
            if failed.get("code") != DUPLICATE_KEY:
                raise
            # Another writer has kept the same photo meanwhile.
            surplus += documents[failed["index"]]["parts"]
            documents = documents[failed["index"] + 1 :]
    if surplus:
        collection.delete_many({"_id": {"$in": surplus}})


def load_images(collection: Images, digest: str) -> list[bytes] | None:
    """Return the photos of a product by their digest, or None where they are not kept."""
    with document_errors("reading photos"):
        mark = collection.find_one({"_id": digest, "digest": digest})
        if mark is None:
            return None
        parts = {part["_id"]: bytes(part["bytes"]) for part in collection.find({"_id": {"$in": mark["parts"]}})}
    if len(parts) < len(mark["parts"]):
        return None
    data = b"".join(parts[part_id] for part_id in mark["parts"])
    ends = list(itertools.accumulate(mark.get("sizes", [len(data)])))
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def image_page(collection: Images, after: str, limit: int) -> list[str]:
    """Return up to `limit` digests of photos above `after`, in order."""
    with document_errors("listing photos"):
        marks = collection.find({"digest": {"$gt": after}}, {"digest": 1}, batch_size=limit + 1)
        return [mark["digest"] for mark in marks.sort("digest", 1).limit(limit)]


def remove_images(collection: Images, digests: Sequence[str], *, now: float | None = None) -> int:
    """Remove photos that nobody uses, unless they were kept lately, and return how many were removed."""
    kept_before = (time.time() if now is None else now) - KEEP_S
    removed = 0
    for digest in digests:
        with document_errors("removing a photo"):
            mark = collection.find_one_and_delete({"_id": digest, "kept_at": {"$lt": kept_before}})
            if mark is not None:
                collection.delete_many({"_id": {"$in": mark["parts"]}})
                removed += 1
    return removed


def _documents(digest: str, photos: Sequence[bytes], now: float) -> list[dict[str, Any]]:
    data = photos[0] if len(photos) == 1 else b"".join(photos)
    write_id = uuid.uuid4().hex
    starts = range(0, max(1, len(data)), PART_BYTES)
    parts = [{"_id": f"{write_id}/{start}", "bytes": Binary(data[start : start + PART_BYTES])} for start in starts]
    mark = {"_id": digest, "digest": digest, "parts": [part["_id"] for part in parts], "size": len(data)}
    sizes = {"sizes": [len(photo) for photo in photos]} if len(photos) > 1 else {}
    return [*parts, {**mark, **sizes, "kept_at": now}]
