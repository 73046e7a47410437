"""Conditional writes: a document changes only where it is still as it was read, many documents in one call."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import pymongo
from pymongo.errors import BulkWriteError

from product_match.documents.mongo_errors import DUPLICATE_KEY, document_errors
from product_match.documents.store import Document, DocumentStore, now


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of one document.

    Attributes:
        id: Its `_id`.
        before: The `write_id` it was read with; None where it was not there.
        rev: Its next revision.
        fields: What it will hold.
        gone: Fields it will no longer hold.
    """

    id: str
    before: str | None
    rev: int
    fields: Document
    gone: Sequence[str] = ()


def write_changes(documents: DocumentStore, changes: Sequence[Change]) -> set[str]:
    """Write changes in one bulk call and leave the documents pending; call it within `document_errors`.

    Returns:
        Ids of the documents that another writer changed since they were read; nothing of these was written.
    """
    if not changes:
        return set()
    write_id = uuid.uuid4().hex
    operations = [_operation(change, write_id) for change in changes]
    inserts = sum(change.before is None for change in changes)
    try:
        with documents.notes.changing([change.id for change in changes]):
            result = documents.products.bulk_write(operations, ordered=False)
    except BulkWriteError as error:
        if any(failed.get("code") != DUPLICATE_KEY for failed in error.details["writeErrors"]):
            raise
    else:
        if result.inserted_count == inserts and result.matched_count == len(changes) - inserts:
            return set()
    ids = [change.id for change in changes]
    won = documents.products.find({"_id": {"$in": ids}, "write_id": write_id}, {"_id": 1})
    return set(ids) - {document["_id"] for document in won}


def renew_pending(documents: DocumentStore) -> None:
    """Have every pending document applied once more, those included that an applier is about to mark as applied.

    An applier marks a document only where its `write_id` is still the one that it applied.
    """
    with document_errors("marking products to be applied"):
        documents.products.update_many({"pending": True}, {"$set": {"write_id": uuid.uuid4().hex}})


def _operation(change: Change, write_id: str) -> pymongo.InsertOne[Document] | pymongo.UpdateOne:
    body = {**change.fields, "rev": change.rev, "write_id": write_id, "pending": True, "updated_at": now()}
    if change.before is None:
        return pymongo.InsertOne({"_id": change.id, **body})
    update: Document = {"$set": body}
    if change.gone:
        update["$unset"] = dict.fromkeys(change.gone, "")
    # The write_id, not the rev: a product that was removed and added again starts at rev 1 once more.
    return pymongo.UpdateOne({"_id": change.id, "write_id": change.before}, update)
