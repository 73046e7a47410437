"""Where the statistics of a catalogue are kept, and what has changed since they were counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from product_match.documents.mongo_errors import document_errors
from product_match.documents.store import Document, DocumentStore

MOST_FOLLOWED: Final = 500
"""Changes that are returned at once."""

_ID: Final = "statistics"


def read_statistics(documents: DocumentStore, fields: Mapping[str, int] | None = None) -> Document | None:
    """Return what is kept for the encoder that serves; None where there is nothing yet.

    Raises:
        UnavailableError: The store does not answer.
    """
    with document_errors("reading the catalogue's statistics"):
        kept = documents.meta.find_one({"_id": _id(documents)}, None if fields is None else dict(fields))
    return kept if kept is not None and kept.get("encoder", documents.encoder) == documents.encoder else None


def keep_statistics(documents: DocumentStore, fields: Mapping[str, Any]) -> None:
    """Keep statistics in place of those before.

    Raises:
        UnavailableError: The store does not answer.
    """
    update = {"$set": {**fields, "encoder": documents.encoder}}
    with document_errors("keeping the catalogue's statistics"):
        documents.meta.update_one({"_id": _id(documents)}, update, upsert=True)


def prepare_following(documents: DocumentStore) -> None:
    """Create the index that `changed_since` needs."""
    with document_errors("preparing the collection"):
        documents.products.create_index("updated_at", name="updated_at")


def changed_since(documents: DocumentStore, moment: str) -> list[Document]:
    """Return products that were written after `moment`, the first ones first; tombstones included.

    Raises:
        UnavailableError: The store does not answer.
    """
    fields = {"product": 1, "deleted": 1, "updated_at": 1}
    with document_errors("reading what has changed"):
        # Not `$gt`: nx-27017 compares what looks like a time by its seconds alone.
        found = documents.products.find({"updated_at": {"$gte": moment}}, fields)
        newer = [document for document in found.sort("updated_at", 1) if document["updated_at"] > moment]
    return newer[:MOST_FOLLOWED]


def _id(documents: DocumentStore) -> str:
    return f"{_ID}_{documents.products.name}"
