"""How much there is in the document store, and how long changes have waited."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

import pymongo

from product_match.documents.mongo_errors import document_errors
from product_match.documents.store import DocumentStore

LOOKED_AT: Final = 200
"""Changes whose age is looked at: the store gives the longest there first, which are next to be applied."""


def oldest_pending_s(documents: DocumentStore, at: datetime | None = None) -> float:
    """Return the age in seconds of the oldest change that waits; 0 where none does.

    Args:
        documents: The store.
        at: The time to count from; now unless given.
    """
    with document_errors("reading pending products"), pymongo.timeout(documents.timeout_s):
        found = list(documents.products.find({"pending": True}, {"updated_at": 1}, limit=LOOKED_AT))
    written = [datetime.fromisoformat(document["updated_at"]) for document in found if "updated_at" in document]
    age = (at or datetime.now(timezone.utc)) - min(written) if written else None
    return max(0.0, age.total_seconds()) if age is not None else 0.0


def size_bytes(documents: DocumentStore) -> int:
    """Return the bytes that the database takes on its disk, its indexes included."""
    with document_errors("reading the size of the database"), pymongo.timeout(documents.timeout_s):
        told = documents.products.database.command("dbStats")
    return int(told.get("totalSize") or told["storageSize"] + told["indexSize"])
