"""On what the vectors of a catalogue were made: each precision and kind of processor that filled it.

The same weights give slightly other vectors in another precision, and in INT8 on another kind of processor. Whoever
looks for the cause of odd matches sees here that a catalogue was filled by two kinds.
"""

from __future__ import annotations

import hashlib

from product_match.documents.mongo_errors import document_errors
from product_match.documents.store import DocumentStore, now


def note_filling(documents: DocumentStore, encoded_on: str) -> None:
    """Write down that a kind of encoder, such as "int8 on AMD EPYC (avx512_vnni)", fills the catalogue.

    Once for each process is enough.
    """
    of = documents.claim_id
    key = hashlib.sha256(encoded_on.encode()).hexdigest()[:12]
    entry = {"of": of, "encoded_on": encoded_on, "since": now()}
    with document_errors("noting what encodes the catalogue"):
        documents.meta.update_one({"_id": f"filled_{of}_{key}"}, {"$setOnInsert": entry}, upsert=True)


def read_filling(documents: DocumentStore) -> list[dict[str, str]]:
    """Return what has filled the catalogue, the first first: `encoded_on` and `since`."""
    with document_errors("reading what encoded the catalogue"):
        found = list(documents.meta.find({"of": documents.claim_id}))
    entries = [{"encoded_on": str(entry["encoded_on"]), "since": str(entry["since"])} for entry in found]
    return sorted(entries, key=lambda entry: entry["since"])
