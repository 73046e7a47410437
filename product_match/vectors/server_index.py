"""The vector index on a Qdrant server, through its gRPC messages.

qdrant-client's own models cost a millisecond for each query; the generated messages, with vectors packed as bytes,
cost microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as qdrant

from product_match.contract.filters import ProductFilter
from product_match.contract.vectors import WORDS_VECTOR, PayloadValue, SparseVector
from product_match.vectors import photo_vectors
from product_match.vectors.photo_vectors import ENGINE_VECTOR_NAMES, MORE_IMAGES_VECTOR
from product_match.vectors.server_channel import QdrantChannel
from product_match.vectors.server_filters import server_filter
from product_match.vectors.vector_index import (
    REV_KEY,
    SEARCH_WIDTH,
    VECTORS_KEY,
    Hit,
    Revision,
    VectorPoint,
    VectorQuery,
)

WRITE_TIMEOUT_S: Final = 10.0
"""Longest wait for a change or a page: these are not on the path of a search."""

_PACKED_DATA: Final = b"\x0a"
_NOTHING: Final = qdrant.WithPayloadSelector(enable=False)
_NO_VECTORS: Final = qdrant.WithVectorsSelector(enable=False)
_ALL_VECTORS: Final = qdrant.WithVectorsSelector(include=qdrant.VectorsSelector(names=list(ENGINE_VECTOR_NAMES)))
_UNFILTERED: Final = qdrant.SearchParams(hnsw_ef=SEARCH_WIDTH)
_FILTERED: Final = qdrant.SearchParams(hnsw_ef=SEARCH_WIDTH, acorn=qdrant.AcornSearchParams(enable=True))
"""A graph whose links lead to points that the filter leaves out loses hits: ACORN looks behind those too."""

_REVISION: Final = qdrant.WithPayloadSelector(include=qdrant.PayloadIncludeSelector(fields=[REV_KEY, VECTORS_KEY]))


class ServerIndex:
    """A collection, or the alias of one."""

    def __init__(
        self,
        channel: QdrantChannel,
        collection: str,
        timeout_s: float,
        *,
        owns_channel: bool = True,
        holds_words: Callable[[], bool] = lambda: True,
    ) -> None:
        """Use `collection`, which `server_collections` has checked.

        Args:
            channel: To the server.
            collection: Collection or alias.
            timeout_s: Longest wait for a search, all attempts together.
            owns_channel: Whether `close` closes the channel.
            holds_words: Says whether points can have words; searches among words find nothing until then.
        """
        self.collection = collection
        self._channel = channel
        self._timeout_s = timeout_s
        self._owns_channel = owns_channel
        self._holds_words = holds_words

    def search(self, queries: Sequence[VectorQuery]) -> list[list[Hit]]:
        """Answer all queries with one call."""
        if not queries:
            return []
        asked = photo_vectors.searches(queries)
        sent = [query for query in asked if query.vector_name != WORDS_VECTOR or self._holds_words()]
        request = qdrant.QueryBatchPoints(
            collection_name=self.collection, query_points=[self._query(query) for query in sent]
        )
        response = self._channel.call(self._channel.points.QueryBatch, request, self._timeout_s)
        answers = {
            id(query): [Hit(point.id.uuid, point.score, _vectors(point)) for point in answer.result]
            for query, answer in zip(sent, response.result, strict=True)
        }
        return photo_vectors.merged(queries, [answers.get(id(query), []) for query in asked])

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Add or wholly replace points."""
        if points:
            structs = [_point(point) for point in points]
            request = qdrant.UpsertPoints(collection_name=self.collection, wait=True, points=structs)
            self._channel.call(self._channel.points.Upsert, request, WRITE_TIMEOUT_S)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points; unknown ids are no error."""
        if ids:
            selector = qdrant.PointsSelector(points=qdrant.PointsIdsList(ids=_ids(ids)))
            request = qdrant.DeletePoints(collection_name=self.collection, wait=True, points=selector)
            self._channel.call(self._channel.points.Delete, request, WRITE_TIMEOUT_S)

    def count(self) -> int:
        """Return how many points there are."""
        request = qdrant.CountPoints(collection_name=self.collection, exact=True)
        return int(self._channel.call(self._channel.points.Count, request, WRITE_TIMEOUT_S).result.count)

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what is held of `ids`."""
        if not ids:
            return {}
        request = qdrant.GetPoints(
            collection_name=self.collection, ids=_ids(ids), with_payload=_REVISION, with_vectors=_NO_VECTORS
        )
        response = self._channel.call(self._channel.points.Get, request, WRITE_TIMEOUT_S)
        return {revision.id: revision for revision in map(_revision, response.result)}

    def vectors(self, ids: Sequence[str]) -> dict[str, Mapping[str, NDArray[np.float32]]]:
        """Return the dense vectors of `ids`."""
        if not ids:
            return {}
        request = qdrant.GetPoints(
            collection_name=self.collection, ids=_ids(ids), with_payload=_NOTHING, with_vectors=_ALL_VECTORS
        )
        response = self._channel.call(self._channel.points.Get, request, self._timeout_s)
        return {point.id.uuid: _vectors(point) for point in response.result}

    def value_counts(self, field: str, product_filter: ProductFilter | None, limit: int) -> dict[str, int]:
        """Return how many of the points that fit have each text in a field."""
        request = qdrant.FacetCounts(
            collection_name=self.collection, key=field, filter=server_filter(product_filter), limit=limit, exact=True
        )
        response = self._channel.call(self._channel.points.Facet, request, self._timeout_s)
        return {hit.value.string_value: int(hit.count) for hit in response.hits}

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions in the order of ids, from the first id above `after`."""
        # The offset of a scroll is inclusive, so the page after an id asks for one more and drops that id.
        request = qdrant.ScrollPoints(
            collection_name=self.collection,
            offset=None if after is None else qdrant.PointId(uuid=after),
            limit=limit + (after is not None),
            with_payload=_REVISION,
            with_vectors=_NO_VECTORS,
        )
        response = self._channel.call(self._channel.points.Scroll, request, WRITE_TIMEOUT_S)
        return [revision for revision in map(_revision, response.result) if revision.id != after][:limit]

    def flush(self) -> None:
        """Nothing to do: the server keeps what it has acknowledged."""

    def close(self) -> None:
        """Close the connection."""
        if self._owns_channel:
            self._channel.close()

    def _query(self, query: VectorQuery) -> qdrant.QueryPoints:
        return qdrant.QueryPoints(
            collection_name=self.collection,
            query=qdrant.Query(nearest=_sought(query)),
            using=query.vector_name,
            filter=server_filter(query.filter, query.lacking),
            params=_FILTERED if query.filter is not None else _UNFILTERED,
            limit=query.limit,
            with_payload=_NOTHING,
            with_vectors=_ALL_VECTORS if query.with_vectors else _NO_VECTORS,
        )


def _sought(query: VectorQuery) -> qdrant.VectorInput:
    if isinstance(query.vector, SparseVector):
        sparse = qdrant.SparseVector(indices=query.vector.indices, values=query.vector.values)
        return qdrant.VectorInput(sparse=sparse)
    vector = dense_vector(query.vector)
    if query.vector_name == MORE_IMAGES_VECTOR:
        return qdrant.VectorInput(multi_dense=qdrant.MultiDenseVector(vectors=[vector]))
    return qdrant.VectorInput(dense=vector)


def _vectors(point: qdrant.ScoredPoint | qdrant.RetrievedPoint) -> dict[str, NDArray[np.float32]]:
    held = point.vectors.vectors.vectors
    return photo_vectors.join_photos({name: _numbers(vector) for name, vector in held.items()})


def _numbers(vector: qdrant.VectorOutput) -> NDArray[np.float32]:
    """Return a vector, [D], or the rows of a multivector, [k, D]."""
    rows = [np.asarray(row.data, np.float32) for row in vector.multi_dense.vectors]
    if rows:
        return np.stack(rows)
    # Servers before 1.16 fill `data` only, with the rows of a multivector one after the other, later ones these too.
    numbers = np.asarray(vector.dense.data or vector.data, np.float32)
    return numbers.reshape(vector.vectors_count, -1) if vector.HasField("vectors_count") else numbers


def dense_vector(vector: NDArray[np.float32]) -> qdrant.DenseVector:
    """Return a vector as a message, from its bytes: a repeated float is packed little-endian on the wire."""
    data = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    return qdrant.DenseVector.FromString(_PACKED_DATA + _varint(len(data)) + data)


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _ids(ids: Sequence[str]) -> list[qdrant.PointId]:
    return [qdrant.PointId(uuid=id_) for id_ in ids]


def _point(point: VectorPoint) -> qdrant.PointStruct:
    vectors = {name: _stored(vector) for name, vector in photo_vectors.split_photos(point.vectors).items()}
    if point.words is not None:
        sparse = qdrant.SparseVector(indices=point.words.indices, values=point.words.values)
        vectors[WORDS_VECTOR] = qdrant.Vector(sparse=sparse)
    payload: dict[str, PayloadValue | list[str]] = {
        **point.payload,
        REV_KEY: point.rev,
        VECTORS_KEY: sorted(point.vectors),
    }
    return qdrant.PointStruct(
        id=qdrant.PointId(uuid=point.id),
        vectors=qdrant.Vectors(vectors=qdrant.NamedVectors(vectors=vectors)),
        payload={name: _value(value) for name, value in payload.items()},
    )


def _stored(vector: NDArray[np.float32]) -> qdrant.Vector:
    if vector.ndim == 1:
        return qdrant.Vector(dense=dense_vector(vector))
    return qdrant.Vector(multi_dense=qdrant.MultiDenseVector(vectors=[dense_vector(row) for row in vector]))


def _value(value: PayloadValue | list[str]) -> qdrant.Value:
    if isinstance(value, str):
        return qdrant.Value(string_value=value)
    if isinstance(value, int):
        return qdrant.Value(integer_value=value)
    if isinstance(value, float):
        return qdrant.Value(double_value=value)
    return qdrant.Value(list_value=qdrant.ListValue(values=[_value(item) for item in value]))


def _revision(point: qdrant.RetrievedPoint) -> Revision:
    payload: Mapping[str, qdrant.Value] = point.payload
    rev = payload[REV_KEY].integer_value if REV_KEY in payload else 0
    names = payload[VECTORS_KEY].list_value.values if VECTORS_KEY in payload else ()
    return Revision(point.id.uuid, int(rev), tuple(name.string_value for name in names))
