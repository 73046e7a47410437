"""A Qdrant server for tests: qdrant-client's own servicers on a loopback port, points in numpy, and faults on order.

It knows what the project uses and refuses the rest. `faults` holds what the next calls meet: each call takes one.
"""

# ruff: noqa: N802 - the methods are named by Qdrant's protocol

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from qdrant_client import grpc as qdrant


@dataclass
class StoredPoint:
    vectors: dict[str, np.ndarray]
    payload: dict[str, Any]
    sparse: dict[str, dict[int, float]] = field(default_factory=dict)


@dataclass
class StoredCollection:
    config: qdrant.CreateCollection
    points: dict[str, StoredPoint] = field(default_factory=dict)
    field_indexes: dict[str, int] = field(default_factory=dict)
    indexed_after_points: bool = False


@dataclass(frozen=True)
class Fault:
    """What a call meets: a pause, then an error or, with no code, the ordinary answer."""

    code: grpc.StatusCode | None = None
    pause_s: float = 0.0
    words: str = "played by the test"


class FakeQdrant:
    """A context manager: a server on `address` until the block ends."""

    def __init__(self, api_key: str = "", tls: tuple[bytes, bytes] | None = None) -> None:
        """Take calls with `api_key`, and with TLS where `tls` has a key and a certificate."""
        self._tls = tls
        self.collections: dict[str, StoredCollection] = {}
        self.aliases: dict[str, str] = {}
        self.faults: deque[Fault] = deque()
        self.calls: list[str] = []
        self.api_key = api_key
        self.first_looks: threading.Barrier | None = None
        """Holds back everyone who is told that a collection is not there, until all of them have been told."""
        self.lock = threading.RLock()
        self.port = 0
        self._server: grpc.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> FakeQdrant:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, after a `stop` on the same port and with the same points."""
        server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        qdrant.add_PointsServicer_to_server(_Points(self), server)
        qdrant.add_CollectionsServicer_to_server(_Collections(self), server)
        address = f"127.0.0.1:{self.port}"
        if self._tls is None:
            self.port = server.add_insecure_port(address)
        else:
            self.port = server.add_secure_port(address, grpc.ssl_server_credentials([self._tls]))
        server.start()
        self._server = server

    def stop(self) -> None:
        """Stop at once: connections are dropped and calls in flight end without an answer."""
        if self._server is not None:
            self._server.stop(grace=None).wait()
            self._server = None

    def meet(self, name: str, context: grpc.ServicerContext) -> None:
        self.calls.append(name)
        given = dict(context.invocation_metadata()).get("api-key", "")
        if given != self.api_key:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            time.sleep(fault.pause_s)
            if fault.code is not None:
                context.abort(fault.code, fault.words)

    def collection(self, name: str, context: grpc.ServicerContext) -> StoredCollection:
        found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Collection `{name}` doesn't exist!")
        return found


class _Collections(qdrant.CollectionsServicer):
    def __init__(self, fake: FakeQdrant) -> None:
        self.fake = fake

    def Create(self, request, context):
        self.fake.meet("Create", context)
        with self.fake.lock:
            if request.collection_name in self.fake.collections:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, "exists")
            self.fake.collections[request.collection_name] = StoredCollection(config=request)
        return qdrant.CollectionOperationResponse(result=True)

    def Delete(self, request, context):
        self.fake.meet("DeleteCollection", context)
        with self.fake.lock:
            gone = self.fake.collections.pop(request.collection_name, None)
        return qdrant.CollectionOperationResponse(result=gone is not None)

    def Get(self, request, context):
        self.fake.meet("GetCollection", context)
        held = self.fake.collection(request.collection_name, context)
        config = qdrant.CollectionConfig(
            params=qdrant.CollectionParams(
                shard_number=1,
                vectors_config=held.config.vectors_config,
                sparse_vectors_config=held.config.sparse_vectors_config,
            ),
            metadata=held.config.metadata,
        )
        return qdrant.GetCollectionInfoResponse(result=qdrant.CollectionInfo(config=config))

    def List(self, request, context):
        self.fake.meet("List", context)
        names = [qdrant.CollectionDescription(name=name) for name in self.fake.collections]
        return qdrant.ListCollectionsResponse(collections=names)

    def CollectionExists(self, request, context):
        self.fake.meet("CollectionExists", context)
        exists = request.collection_name in self.fake.collections
        if not exists and self.fake.first_looks is not None:
            self.fake.first_looks.wait(10)
        return qdrant.CollectionExistsResponse(result=qdrant.CollectionExists(exists=exists))

    def ListAliases(self, request, context):
        self.fake.meet("ListAliases", context)
        aliases = [
            qdrant.AliasDescription(alias_name=alias, collection_name=name)
            for alias, name in self.fake.aliases.items()
        ]
        return qdrant.ListAliasesResponse(aliases=aliases)

    def UpdateAliases(self, request, context):
        self.fake.meet("UpdateAliases", context)
        with self.fake.lock:
            for action in request.actions:
                kind = action.WhichOneof("action")
                if kind == "create_alias":
                    if action.create_alias.collection_name not in self.fake.collections:
                        context.abort(grpc.StatusCode.NOT_FOUND, "no such collection")
                    self.fake.aliases[action.create_alias.alias_name] = action.create_alias.collection_name
                elif kind == "delete_alias":
                    self.fake.aliases.pop(action.delete_alias.alias_name, None)
                else:
                    context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{kind} is not played")
        return qdrant.CollectionOperationResponse(result=True)


class _Points(qdrant.PointsServicer):
    def __init__(self, fake: FakeQdrant) -> None:
        self.fake = fake

    def CreateFieldIndex(self, request, context):
        self.fake.meet("CreateFieldIndex", context)
        held = self.fake.collection(request.collection_name, context)
        held.field_indexes[request.field_name] = request.field_type
        held.indexed_after_points |= bool(held.points)
        return qdrant.PointsOperationResponse()

    def Upsert(self, request, context):
        self.fake.meet("Upsert", context)
        held = self.fake.collection(request.collection_name, context)
        declared = held.config.vectors_config.params_map.map
        sizes = {name: params.size for name, params in declared.items()}
        several = {name: params.HasField("multivector_config") for name, params in declared.items()}
        fresh = {}
        for point in request.points:
            vectors, sparse = {}, {}
            for name, vector in point.vectors.vectors.vectors.items():
                if name in held.config.sparse_vectors_config.map:
                    sparse[name] = dict(zip(vector.sparse.indices, vector.sparse.values, strict=True))
                    continue
                if name not in sizes:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Not existing vector name error: {name}")
                if several[name] != (vector.WhichOneof("vector") == "multi_dense"):
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Conversion between multi and regular: {name}")
                rows = [row.data for row in vector.multi_dense.vectors] if several[name] else [vector.dense.data]
                for row in rows:
                    if len(row) != sizes[name]:
                        words = f"Vector dimension error: expected dim: {sizes[name]}, got {len(row)}"
                        context.abort(grpc.StatusCode.INVALID_ARGUMENT, words)
                vectors[name] = np.array(rows if several[name] else rows[0], np.float32)
            payload = {name: _plain(value) for name, value in point.payload.items()}
            fresh[point.id.uuid] = StoredPoint(vectors, payload, sparse)
        with self.fake.lock:
            held.points.update(fresh)
        return qdrant.PointsOperationResponse()

    def Delete(self, request, context):
        self.fake.meet("Delete", context)
        held = self.fake.collection(request.collection_name, context)
        with self.fake.lock:
            for id_ in request.points.points.ids:
                held.points.pop(id_.uuid, None)
        return qdrant.PointsOperationResponse()

    def Count(self, request, context):
        self.fake.meet("Count", context)
        held = self.fake.collection(request.collection_name, context)
        return qdrant.CountResponse(result=qdrant.CountResult(count=len(held.points)))

    def Get(self, request, context):
        self.fake.meet("Get", context)
        held = self.fake.collection(request.collection_name, context)
        wanted = [id_.uuid for id_ in request.ids if id_.uuid in held.points]
        return qdrant.GetResponse(result=[_retrieved(id_, held.points[id_], request) for id_ in wanted])

    def Scroll(self, request, context):
        self.fake.meet("Scroll", context)
        held = self.fake.collection(request.collection_name, context)
        with self.fake.lock:
            ids = sorted(id_ for id_ in held.points if id_ >= request.offset.uuid)[: request.limit]
            return qdrant.ScrollResponse(result=[_retrieved(id_, held.points[id_], request) for id_ in ids])

    def Facet(self, request, context):
        self.fake.meet("Facet", context)
        held = self.fake.collection(request.collection_name, context)
        if request.key not in held.field_indexes:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Index required but not found for {request.key}")
        having = [p for p in held.points.values() if request.key in p.payload and _fits(request.filter, p)]
        counts = Counter(point.payload[request.key] for point in having).most_common(request.limit)
        hits = [qdrant.FacetHit(value=qdrant.FacetValue(string_value=value), count=count) for value, count in counts]
        return qdrant.FacetResponse(hits=hits)

    def QueryBatch(self, request, context):
        self.fake.meet("QueryBatch", context)
        with self.fake.lock:
            results = [self._answer(query, request.collection_name, context) for query in request.query_points]
        return qdrant.QueryBatchResponse(result=results)

    def _answer(self, query, collection_name, context):
        held = self.fake.collection(collection_name, context)
        if query.with_payload.enable:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the hot path takes no payload")
        unknown = _keys(query.filter) - set(held.field_indexes)
        if unknown:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Index required but not found for {sorted(unknown)}")
        declared = held.config.vectors_config.params_map.map
        if query.using in held.config.sparse_vectors_config.map:
            return self._answer_sparse(query, held)
        if query.using not in declared:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Not existing vector name error: {query.using}")
        nearest = query.query.nearest
        several = declared[query.using].HasField("multivector_config")
        vector = np.array((nearest.multi_dense.vectors[0] if several else nearest.dense).data, np.float32)
        size = declared[query.using].size
        if len(vector) != size:
            words = f"Wrong input: Vector dimension error: expected dim: {size}, got {len(vector)}"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, words)
        scored = [
            (float(np.max(point.vectors[query.using] @ vector)), id_)
            for id_, point in held.points.items()
            if query.using in point.vectors and _fits(query.filter, point)
        ]
        return _hits(query, held, scored)

    def _answer_sparse(self, query, held):
        """Score as Qdrant does with the modifier IDF: over all points that have the vector, filtered or not."""
        having = {id_: point.sparse[query.using] for id_, point in held.points.items() if query.using in point.sparse}
        sought = query.query.nearest.sparse
        scored = []
        for id_, weights in having.items():
            if not _fits(query.filter, held.points[id_]) or not set(sought.indices) & weights.keys():
                continue
            score = 0.0
            for index, value in zip(sought.indices, sought.values, strict=True):
                number = sum(index in other for other in having.values())
                rarity = np.log(1.0 + (len(having) - number + 0.5) / (number + 0.5))
                score += value * rarity * weights.get(index, 0.0)
            scored.append((score, id_))
        return _hits(query, held, scored)


def _hits(query, held, scored):
    best = sorted(scored, key=lambda item: -item[0])[: query.limit]
    asked = set(query.with_vectors.include.names)
    hits = [
        qdrant.ScoredPoint(
            id=qdrant.PointId(uuid=id_), score=score, vectors=_vectors(held.points[id_], asked) if asked else None
        )
        for score, id_ in best
    ]
    return qdrant.BatchResult(result=hits)


def _vectors(point, asked):
    vectors = {name: _vector_output(numbers) for name, numbers in point.vectors.items() if name in asked}
    return qdrant.VectorsOutput(vectors=qdrant.NamedVectorsOutput(vectors=vectors))


def _vector_output(numbers):
    if numbers.ndim == 1:
        return qdrant.VectorOutput(dense=qdrant.DenseVector(data=numbers.tolist()))
    rows = [qdrant.DenseVector(data=row.tolist()) for row in numbers]
    return qdrant.VectorOutput(multi_dense=qdrant.MultiDenseVector(vectors=rows))


def _retrieved(id_, point, request):
    wanted = set(request.with_payload.include.fields)
    payload = {name: _message(value) for name, value in point.payload.items() if name in wanted}
    asked = set(request.with_vectors.include.names)
    vectors = _vectors(point, asked) if asked else None
    return qdrant.RetrievedPoint(id=qdrant.PointId(uuid=id_), payload=payload, vectors=vectors)


def _plain(value):
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    return getattr(value, kind)


def _message(value):
    if isinstance(value, list):
        return qdrant.Value(list_value=qdrant.ListValue(values=[_message(item) for item in value]))
    if isinstance(value, str):
        return qdrant.Value(string_value=value)
    return qdrant.Value(integer_value=value) if isinstance(value, int) else qdrant.Value(double_value=value)


def _keys(filter_):
    keys = set()
    for condition in (*filter_.must, *filter_.should, *filter_.must_not):
        if condition.WhichOneof("condition_one_of") == "filter":
            keys |= _keys(condition.filter)
        elif condition.WhichOneof("condition_one_of") == "field":
            keys.add(condition.field.key)
        elif condition.WhichOneof("condition_one_of") == "is_empty":
            keys.add(condition.is_empty.key)
    return keys


def _fits(filter_, point):
    if filter_.should and not any(_holds(condition, point) for condition in filter_.should):
        return False
    return all(_holds(c, point) for c in filter_.must) and not any(_holds(c, point) for c in filter_.must_not)


def _holds(condition, point):
    kind = condition.WhichOneof("condition_one_of")
    if kind == "filter":
        return _fits(condition.filter, point)
    if kind == "has_vector":
        return condition.has_vector.has_vector in point.vectors or condition.has_vector.has_vector in point.sparse
    if kind == "is_empty":
        return point.payload.get(condition.is_empty.key) is None
    value = point.payload.get(condition.field.key)
    if value is None:
        return False
    if condition.field.HasField("match"):
        if condition.field.match.WhichOneof("match_value") == "substring":
            return condition.field.match.substring in value
        return value in condition.field.match.keywords.strings
    bounds = condition.field.range
    return not (
        (bounds.HasField("gte") and value < bounds.gte)
        or (bounds.HasField("gt") and value <= bounds.gt)
        or (bounds.HasField("lte") and value > bounds.lte)
        or (bounds.HasField("lt") and value >= bounds.lt)
    )
