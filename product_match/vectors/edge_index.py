"""The vector index in process: one Qdrant Edge shard, owned by one process."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import qdrant_edge
from numpy.typing import NDArray
from qdrant_edge import EdgeShard, UpdateOperation

from product_match.contract.errors import ConfigError, DamagedIndexError, ProductMatchError, UnavailableError
from product_match.contract.filters import ProductFilter
from product_match.contract.metrics import VECTORS
from product_match.contract.products import FILTER_FIELDS, FieldType
from product_match.contract.vectors import VECTOR_NAMES, WORDS_VECTOR, SparseVector
from product_match.telemetry.meters import STORE_ERRORS
from product_match.vectors import photo_vectors
from product_match.vectors.edge_filters import edge_filter
from product_match.vectors.edge_hits import HitReader, held_vectors
from product_match.vectors.photo_vectors import ENGINE_VECTOR_NAMES, MORE_IMAGES_VECTOR
from product_match.vectors.vector_index import (
    REV_KEY,
    SEARCH_WIDTH,
    VECTORS_KEY,
    Hit,
    Revision,
    VectorPoint,
    VectorQuery,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOCK_WAIT_S: Final = 5.0
"""How long to wait for a shard that another process holds: a killed owner lets go of it a moment later."""

HNSW_LINKS: Final = 16
HNSW_BUILD_WIDTH: Final = 128
FULL_SCAN_KB: Final = 2000
"""A filter that leaves less than this many kilobytes of vectors is answered by comparing with all of them."""

_ERRORS: Final = STORE_ERRORS.labels(VECTORS)
_LOCKED: Final = "WouldBlock"
_OTHER_NAMES: Final = "expected vector storages with keys"
_BEST_OF_SEVERAL: Final = qdrant_edge.MultiVectorConfig(qdrant_edge.MultiVectorComparator.MaxSim)
_SCHEMA: Final = {
    FieldType.KEYWORD: qdrant_edge.PayloadSchemaType.Keyword,
    FieldType.NUMBER: qdrant_edge.PayloadSchemaType.Float,
}
_UNFILTERED: Final = qdrant_edge.SearchParams(hnsw_ef=SEARCH_WIDTH)
_FILTERED: Final = qdrant_edge.SearchParams(hnsw_ef=SEARCH_WIDTH, acorn=qdrant_edge.AcornSearchParams(enable=True))
"""A graph whose links lead to points that the filter leaves out loses hits: ACORN looks behind those too."""

_CONTROL_FLOW: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)


class EdgeIndex:
    """A Qdrant Edge shard in `directory`.

    Its write-ahead log makes an upsert survive a killed process. Its calls hold the GIL, so callers keep batches
    small, and an HNSW graph is never built in a process that serves but by `product_match.index.derivation`.
    """

    def __init__(self, directory: Path, dimension: int, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Open the shard in `directory`, or create it where there is none.

        Raises:
            ConfigError: Another process holds it, or it was made for another dimension.
            DamagedIndexError: Its files cannot be read.
        """
        self.directory = directory
        self.dimension = dimension
        self._closing = threading.Lock()
        self._shard: EdgeShard | None = self._open(lock_wait_s)
        self._has_further_photos = self._count_with(MORE_IMAGES_VECTOR) > 0

    def search(self, queries: Sequence[VectorQuery]) -> list[list[Hit]]:
        """Answer all queries in one planned pass."""
        if not queries:
            return []
        asked = photo_vectors.searches(queries) if self._has_further_photos else queries
        request = qdrant_edge.QueryBatchRequest([_request(query) for query in asked])
        answers = self._call("search", lambda shard: shard.query_batch(request))
        reader = HitReader()
        hits = [
            [reader.hit(point, query.with_vectors) for point in answer]
            for query, answer in zip(asked, answers, strict=True)
        ]
        return photo_vectors.merged(queries, hits) if asked is not queries else hits

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Add or wholly replace points."""
        if points:
            made = [_point(point) for point in points]
            operation = UpdateOperation.upsert_points(made)
            self._has_further_photos |= any(MORE_IMAGES_VECTOR in point.vector for point in made)
            self._call("upsert", lambda shard: shard.update(operation))

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points; unknown ids are no error."""
        if ids:
            self._call("delete", lambda shard: shard.update(UpdateOperation.delete_points(list(ids))))

    def count(self) -> int:
        """Return how many points there are."""
        return self._call("count", lambda shard: shard.count(qdrant_edge.CountRequest(exact=True)))

    def count_unindexed(self) -> int:
        """Return how many points no HNSW graph holds, about: each search compares with all of them."""
        counts = [self._count_with(name) for name in ENGINE_VECTOR_NAMES]
        # The words' own index is always whole, and counts as well.
        indexed = self._call("info", lambda shard: shard.info().indexed_vectors_count) - self._count_with(
            WORDS_VECTOR
        )
        if not sum(counts):
            return 0
        return int(max(0, sum(counts) - indexed) * max(counts) / sum(counts))

    def _count_with(self, vector_name: str) -> int:
        having = qdrant_edge.Filter(must=[qdrant_edge.HasVectorCondition(vector_name)])
        request = qdrant_edge.CountRequest(exact=True, filter=having)
        return self._call("count", lambda shard: shard.count(request))

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what is held of `ids`."""
        if not ids:
            return {}
        keys = [REV_KEY, VECTORS_KEY]
        records = self._call("lookup", lambda shard: shard.retrieve(list(ids), keys, False))
        return {revision.id: revision for revision in map(_revision, records)}

    def vectors(self, ids: Sequence[str]) -> dict[str, Mapping[str, NDArray[np.float32]]]:
        """Return the dense vectors of `ids`."""
        if not ids:
            return {}
        names = list(ENGINE_VECTOR_NAMES)
        records = self._call("vectors", lambda shard: shard.retrieve(list(ids), False, names))
        return {str(record.id): held_vectors(record) for record in records}

    def value_counts(self, field: str, product_filter: ProductFilter | None, limit: int) -> dict[str, int]:
        """Return how many of the points that fit have each text in a field."""
        request = qdrant_edge.FacetRequest(field, limit, exact=True, filter=edge_filter(product_filter))
        counted = self._call("facet", lambda shard: shard.facet(request))
        return {str(hit.value): int(hit.count) for hit in counted.hits}

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions in the order of ids, from the first id above `after`."""
        # The offset of a scroll is inclusive, so the page after an id asks for one more and drops that id.
        request = qdrant_edge.ScrollRequest(
            offset=after,
            limit=limit + (after is not None),
            with_payload=[REV_KEY, VECTORS_KEY],
            with_vector=False,
        )
        records, _ = self._call("scroll", lambda shard: shard.scroll(request))
        return [revision for revision in map(_revision, records) if revision.id != after][:limit]

    def flush(self) -> None:
        """Write everything to disk."""
        self._call("flush", lambda shard: shard.flush())

    def optimize(self) -> None:
        """Build the HNSW graphs. Holds the GIL for seconds or minutes: only for a process that does nothing else."""
        self._call("optimize", lambda shard: shard.optimize())

    def close(self) -> None:
        """Flush and let go of the files; a second call does nothing."""
        with self._closing:
            shard, self._shard = self._shard, None
        if shard is not None:
            shard.flush()
            shard.close()

    def _call(self, what: str, call: Callable[[EdgeShard], T]) -> T:
        shard = self._shard
        if shard is None:
            raise UnavailableError(f"vector index {self.directory} is closed: the server is stopping; try again")
        try:
            return call(shard)
        except _CONTROL_FLOW:
            raise
        except BaseException as error:  # the engine's panics are no Exception
            _ERRORS.inc()
            raise ProductMatchError(f"vector index {self.directory}: {what} failed ({error})") from error

    def _open(self, lock_wait_s: float) -> EdgeShard:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            present = any(self.directory.iterdir())
        except OSError as error:
            raise ConfigError(
                f"vector index {self.directory} cannot be made ({error.strerror}); check that it can be written"
            ) from error
        give_up = time.monotonic() + lock_wait_s
        while True:
            try:
                shard = self._load() if present else self._create()
                break
            except _CONTROL_FLOW:
                raise
            except BaseException as error:  # the engine's panics are no Exception
                if _LOCKED in str(error) and time.monotonic() < give_up:
                    time.sleep(0.1)
                    continue
                raise self._open_error(str(error)) from error
        return shard

    def _load(self) -> EdgeShard:
        try:
            shard = EdgeShard.load(str(self.directory), edge_config(self.dimension))
        except Exception as error:
            if _OTHER_NAMES not in str(error):
                raise
            self._add_vectors()
            shard = EdgeShard.load(str(self.directory), edge_config(self.dimension))
        _create_field_indexes(shard)
        return shard

    def _add_vectors(self) -> None:
        """Give a shard of an earlier version what its points can hold now: further photos, and exact words."""
        try:
            shard = EdgeShard.load(str(self.directory), edge_config(self.dimension, words=False))
        except Exception as error:
            if _OTHER_NAMES not in str(error):
                raise
            shard = EdgeShard.load(str(self.directory), edge_config(self.dimension, VECTOR_NAMES, words=False))
            shard.update(
                UpdateOperation.create_dense_vector(
                    MORE_IMAGES_VECTOR, self.dimension, qdrant_edge.Distance.Dot, _BEST_OF_SEVERAL
                )
            )
        shard.update(UpdateOperation.create_sparse_vector(WORDS_VECTOR, qdrant_edge.Modifier.Idf))
        shard.flush()
        shard.close()
        logger.info("%s can hold exact words from now on", self.directory)

    def _create(self) -> EdgeShard:
        shard = EdgeShard.create(str(self.directory), edge_config(self.dimension))
        _create_field_indexes(shard)
        return shard

    def _open_error(self, message: str) -> ConfigError:
        if _LOCKED in message:
            return ConfigError(
                f"vector index {self.directory} is held by another process; "
                "stop the other server, or give this one its own --state-dir"
            )
        if "incompatible" in message.lower():
            return ConfigError(
                f"vector index {self.directory} was made with other vectors than {self.dimension} numbers each "
                f"({message}); use the encoder it was made with, or another --state-dir"
            )
        return DamagedIndexError(f"vector index {self.directory} cannot be read ({message})")


def edge_config(
    dimension: int, names: Sequence[str] = ENGINE_VECTOR_NAMES, *, words: bool = True
) -> qdrant_edge.EdgeConfig:
    """Return the declaration of a shard for vectors of `dimension` numbers, and for exact words."""
    params = {
        name: qdrant_edge.EdgeVectorParams(
            size=dimension,
            distance=qdrant_edge.Distance.Dot,
            multivector_config=_BEST_OF_SEVERAL if name == MORE_IMAGES_VECTOR else None,
        )
        for name in names
    }
    graph = qdrant_edge.HnswIndexConfig(
        m=HNSW_LINKS,
        ef_construct=HNSW_BUILD_WIDTH,
        full_scan_threshold=FULL_SCAN_KB,
        max_indexing_threads=max(1, (os.cpu_count() or 2) // 2),  # the other half is for those who search
    )
    # Whether there is a graph is decided by who calls `optimize`, not by the size of a segment.
    optimizers = qdrant_edge.EdgeOptimizersConfig(indexing_threshold=1)
    sparse = {WORDS_VECTOR: qdrant_edge.EdgeSparseVectorParams(modifier=qdrant_edge.Modifier.Idf)} if words else None
    return qdrant_edge.EdgeConfig(vectors=params, sparse_vectors=sparse, hnsw_config=graph, optimizers=optimizers)


def _create_field_indexes(shard: EdgeShard) -> None:
    present = shard.info().payload_schema
    for field in FILTER_FIELDS:
        if field.name not in present:
            shard.update(UpdateOperation.create_field_index(field.name, _SCHEMA[field.type]))


def _request(query: VectorQuery) -> qdrant_edge.QueryRequest:
    vector = query.vector
    sought = _sparse(vector) if isinstance(vector, SparseVector) else vector.tolist()
    return qdrant_edge.QueryRequest(
        query=qdrant_edge.Query.Nearest(sought, using=query.vector_name),
        limit=query.limit,
        filter=edge_filter(query.filter, query.lacking),
        params=_FILTERED if query.filter is not None else _UNFILTERED,
        with_payload=False,
        with_vector=list(ENGINE_VECTOR_NAMES) if query.with_vectors else False,
    )


def _sparse(vector: SparseVector) -> qdrant_edge.SparseVector:
    return qdrant_edge.SparseVector(list(vector.indices), list(vector.values))


def _point(point: VectorPoint) -> qdrant_edge.Point:
    vectors: dict[str, Any] = {
        name: vector.tolist() for name, vector in photo_vectors.split_photos(point.vectors).items()
    }
    if point.words is not None:
        vectors[WORDS_VECTOR] = _sparse(point.words)
    return qdrant_edge.Point(
        point.id,
        vectors,
        {**point.payload, REV_KEY: point.rev, VECTORS_KEY: sorted(point.vectors)},
    )


def _revision(record: qdrant_edge.Record) -> Revision:
    payload = record.payload or {}
    return Revision(str(record.id), int(payload.get(REV_KEY, 0)), tuple(payload.get(VECTORS_KEY, ())))
