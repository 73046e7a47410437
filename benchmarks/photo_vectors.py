"""What several photos of a product cost a search, and what multivectors would cost products of one photo.

python -m benchmarks.photo_vectors
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import qdrant_edge
from numpy.typing import NDArray

from product_match.contract.vectors import IMAGE_VECTOR
from product_match.vectors.edge_index import EdgeIndex
from product_match.vectors.photo_vectors import MORE_IMAGES_VECTOR
from product_match.vectors.vector_index import VectorPoint, VectorQuery

BATCH = 200
CENTRES = 200
SPREAD = 0.7
FURTHER = 2
"""Further photos of a product that has several."""

Rows = NDArray[np.float32]


def vectors(count: int, dimension: int, rng: np.random.Generator) -> Rows:
    """Return unit vectors [count, dimension] in clusters, as embeddings are."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, dimension))
    rows = centres[rng.integers(CENTRES, size=count)] + SPREAD * rng.standard_normal((count, dimension))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def filled(directory: Path, products: int, dimension: int, several: float) -> EdgeIndex:
    """Return an index of `products`, of which a share of `several` has further photos."""
    index = EdgeIndex(directory, dimension)
    rng = np.random.default_rng(1)
    for start in range(0, products, BATCH):
        count = min(BATCH, products - start)
        photos = vectors(count * (1 + FURTHER), dimension, rng).reshape(count, 1 + FURTHER, dimension)
        having = rng.random(count) < several
        index.upsert(
            [
                VectorPoint(
                    id=str(uuid.UUID(int=start + n + 1)),
                    rev=1,
                    vectors={IMAGE_VECTOR: photos[n] if having[n] else photos[n, 0]},
                    payload={},
                )
                for n in range(count)
            ]
        )
    return index


def only_multivectors(directory: Path, products: int, dimension: int) -> qdrant_edge.EdgeShard:
    """Return a shard that holds each product's one photo as a multivector of one row."""
    several = qdrant_edge.MultiVectorConfig(qdrant_edge.MultiVectorComparator.MaxSim)
    params = qdrant_edge.EdgeVectorParams(
        size=dimension, distance=qdrant_edge.Distance.Dot, multivector_config=several
    )
    directory.mkdir()
    shard = qdrant_edge.EdgeShard.create(str(directory), qdrant_edge.EdgeConfig(vectors={MORE_IMAGES_VECTOR: params}))
    rng = np.random.default_rng(1)
    for start in range(0, products, BATCH):
        rows = vectors(min(BATCH, products - start), dimension, rng)
        points = [
            qdrant_edge.Point(str(uuid.UUID(int=start + n + 1)), {MORE_IMAGES_VECTOR: [row.tolist()]}, {})
            for n, row in enumerate(rows)
        ]
        shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    return shard


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=20_000, help="products (default %(default)s)")
    parser.add_argument("--dimension", type=int, default=256, help="numbers in a vector (default %(default)s)")
    parser.add_argument("--searches", type=int, default=200, help="searches of each kind (default %(default)s)")
    arguments = parser.parse_args(given)
    size = (arguments.products, arguments.dimension)
    sought = vectors(arguments.searches, arguments.dimension, np.random.default_rng(2))
    queries = [VectorQuery(vector_name=IMAGE_VECTOR, vector=row, limit=12) for row in sought]
    with tempfile.TemporaryDirectory(prefix="product-match-photos-") as temporary:
        place = Path(temporary)
        plain, tenth = filled(place / "plain", *size, 0.0), filled(place / "tenth", *size, 0.1)
        multi = only_multivectors(place / "multi", *size)
        took: dict[str, list[float]] = {"plain": [], "multivectors": [], "one in ten has further photos": []}
        # In turn, so that other work on the machine falls on all of them alike.
        for query in queries:
            named = dataclasses.replace(query, vector_name=MORE_IMAGES_VECTOR)
            request = qdrant_edge.QueryRequest(
                query=qdrant_edge.Query.Nearest(named.vector.tolist(), using=named.vector_name), limit=named.limit
            )
            batch = qdrant_edge.QueryBatchRequest([request])
            for name, search in (
                ("plain", lambda query=query: plain.search([query])),
                ("multivectors", lambda batch=batch: multi.query_batch(batch)),
                ("one in ten has further photos", lambda query=query: tenth.search([query])),
            ):
                started = time.perf_counter()
                search()
                took[name].append((time.perf_counter() - started) * 1000)
        for name, found in took.items():
            print(f"{name}: p50 {statistics.median(found):.2f} ms, p95 {np.quantile(found, 0.95):.2f} ms")
        plain.close()
        tenth.close()
        multi.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
