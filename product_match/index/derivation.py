"""Derives a shard from the documents, as a process of its own.

    python -m product_match.index.derivation SHARD RECIPE

It is started by the owner of the index with the server's settings in its environment, and reports progress as JSON
lines on standard output.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ProductMatchError
from product_match.documents.store import LIVE, DocumentStore, open_documents
from product_match.index.points import POINT_FIELDS, PointMaker
from product_match.settings import ServingSettings
from product_match.vectors.edge_index import EdgeIndex
from product_match.vectors.vector_index import GRAPH_THRESHOLD
from product_match.words.encoding import WordsRecipe

PAGE_SIZE: Final = 200
_NICENESS: Final = 15
_LONGEST_PAUSE_S: Final = 0.25
STORE_TIMEOUT_S: Final = 30.0
"""A server's own limit is for requests that somebody waits for; here a busy store is waited for."""


def derive(
    documents: DocumentStore, index: EdgeIndex, points: PointMaker, *, graph_threshold: int = GRAPH_THRESHOLD
) -> int:
    """Fill `index` with the points of all documents and return how many there are."""
    count = 0
    pages = documents.walk(LIVE, POINT_FIELDS, page_size=PAGE_SIZE)
    started = time.monotonic()
    for page in pages:
        read_s = time.monotonic() - started
        index.upsert([points.point(document) for document in page])
        count += len(page)
        _report("loading", count)
        # The document store answers nobody else while it reads a page: searches get their turn in between.
        time.sleep(min(read_s, _LONGEST_PAUSE_S))
        started = time.monotonic()
    if count >= graph_threshold:
        _report("building the graph", count)
        index.optimize()
    index.flush()
    return count


def main(arguments: Sequence[str]) -> int:
    """Derive the shard that the arguments name, its words by the recipe that they hold."""
    shard, recipe = arguments
    _give_way()
    try:
        serving = ServingSettings.from_environment(os.environ)
        settings = dataclasses.replace(serving, store_timeout_s=STORE_TIMEOUT_S)
        encoder = load_encoder(settings.encoder_directory)
        documents = open_documents(settings, encoder.identity)
        index = EdgeIndex(Path(shard), encoder.embedding_dim)
        derive(documents, index, PointMaker(WordsRecipe.from_json(recipe)))
        index.close()
        documents.close()
    except ProductMatchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _give_way() -> None:
    """Leave the processor to whoever serves: come last, and do not interrupt a process that wakes up."""
    os.nice(_NICENESS)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _report(stage: str, points: int) -> None:
    sys.stdout.write(json.dumps({"stage": stage, "points": points}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
