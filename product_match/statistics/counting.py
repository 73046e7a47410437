"""Counts a whole catalogue: its words in one walk, and what its photos say of each other."""

from __future__ import annotations

import random
import threading
import time
from typing import Final

import numpy as np

from product_match.contract.errors import CancelledError
from product_match.contract.vectors import IMAGE_VECTOR
from product_match.documents.records import EMBEDDING_FIELDS, unpack_vector
from product_match.documents.store import LIVE, DocumentStore
from product_match.statistics.catalogue import CatalogueStatistics
from product_match.statistics.similarity import fit_similarity
from product_match.words.analysis import Analyser
from product_match.words.vocabulary import Vocabulary

PAGE_SIZE: Final = 200
DRAWN: Final = 1000
"""Products whose photos the meaning of a similarity is fitted on."""

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
    field = EMBEDDING_FIELDS[IMAGE_VECTOR]
    held = documents.read(drawn, {"product": 1, "deleted": 1, field: 1}).values()
    shown = [document for document in held if not document.get("deleted") and document.get(field)]
    fit = None
    if shown:
        vectors = np.stack([unpack_vector(document[field])[:dimension] for document in shown])  # the first photo's
        fit = fit_similarity(vectors, [str(document.get("product", {}).get("category", "")) for document in shown])
    return CatalogueStatistics(vocabulary=vocabulary, image_fit=fit, products=seen, version=version)
