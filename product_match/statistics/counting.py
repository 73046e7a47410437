"""Counts a whole catalogue: its words in one walk, and some of its vectors, drawn at random."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from product_match.contract.errors import CancelledError
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR
from product_match.documents.records import EMBEDDING_FIELDS, unpack_vector
from product_match.documents.store import LIVE, DocumentStore
from product_match.statistics.catalogue import CatalogueStatistics
from product_match.statistics.similarity import Background, fit_similarity
from product_match.words.analysis import Analyser
from product_match.words.vocabulary import Vocabulary

PAGE_SIZE: Final = 200
DRAWN: Final = 1000
"""Products whose vectors are kept: the mean of their similarities is known to a thirtieth of its spread."""

LONGEST_PAUSE_S: Final = 0.25
_SEED: Final = 5


def count_catalogue(
    documents: DocumentStore, dimension: int, analyser: Analyser, version: int, cancelled: threading.Event
) -> CatalogueStatistics:
    """Count every product of a catalogue.

    Args:
        documents: The store.
        dimension: Length of a vector.
        analyser: Makes terms.
        version: Of what comes out.
        cancelled: Set to stop.

    Raises:
        CancelledError: `cancelled` was set.
        UnavailableError: The store does not answer.
    """
    vocabulary, drawn, seen = Vocabulary(), list[str](), 0
    choice = random.Random(_SEED)
    started = time.monotonic()
    for page in documents.walk(LIVE, {"product": 1}, page_size=PAGE_SIZE):
        read_s = time.monotonic() - started
        vocabulary.add(analyser, [document.get("product", {}) for document in page])
        for document in page:  # reservoir sampling: each product is drawn with the same chance
            seen += 1
            if len(drawn) < DRAWN:
                drawn.append(document["_id"])
            elif (place := choice.randrange(seen)) < DRAWN:
                drawn[place] = document["_id"]
        # The document store answers nobody else while it reads a page: searches get their turn in between.
        if cancelled.wait(min(read_s, LONGEST_PAUSE_S)):
            raise CancelledError("the server is stopping")
        started = time.monotonic()
    fields = {"product": 1, "deleted": 1, **dict.fromkeys(EMBEDDING_FIELDS.values(), 1)}
    held = [document for document in documents.read(drawn, fields).values() if not document.get("deleted")]
    photos, groups = _vectors(held, IMAGE_VECTOR, dimension)
    words, _ = _vectors(held, TEXT_VECTOR, dimension)
    return CatalogueStatistics(
        vocabulary=vocabulary,
        backgrounds={IMAGE_VECTOR: photos, TEXT_VECTOR: words},
        image_fit=fit_similarity(photos.vectors, groups),
        products=seen,
        version=version,
    )


def _vectors(held: Sequence[Mapping[str, Any]], vector_name: str, dimension: int) -> tuple[Background, list[str]]:
    """Return the vectors of one name, [n, D], and the category of each one's product."""
    field = EMBEDDING_FIELDS[vector_name]
    rows = [
        (unpack_vector(document[field])[:dimension], str(document.get("product", {}).get("category", "")))
        for document in held
        if document.get(field)
    ]
    if not rows:
        return Background(np.zeros((0, dimension), np.float32)), []
    return Background(np.stack([vector for vector, _ in rows])), [group for _, group in rows]
