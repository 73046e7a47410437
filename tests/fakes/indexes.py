"""Vector indexes in memory: one that fails on order, and one that compares with every point."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from product_match.contract.filters import ProductFilter
from product_match.contract.vectors import WORDS_VECTOR
from product_match.vectors.vector_index import Hit, Revision, VectorPoint, VectorQuery
from tests.fakes.plain_filters import fits


class MemoryIndex:
    """Keeps points in a dict; `before` is called with the name of every operation and may raise."""

    def __init__(self) -> None:
        self.points: dict[str, VectorPoint] = {}
        self.before: Callable[[str], None] = lambda _: None
        self.closed = False

    def search(self, queries: Sequence[VectorQuery]) -> list[list[Hit]]:
        self.before("search")
        return [[] for _ in queries]

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        self.before("upsert")
        self.points.update((point.id, point) for point in points)

    def delete(self, ids: Sequence[str]) -> None:
        self.before("delete")
        for id_ in ids:
            self.points.pop(id_, None)

    def count(self) -> int:
        self.before("count")
        return len(self.points)

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        self.before("lookup")
        return {id_: self._revision(id_) for id_ in ids if id_ in self.points}

    def vectors(self, ids: Sequence[str]) -> dict[str, Mapping[str, np.ndarray]]:
        self.before("vectors")
        return {id_: self.points[id_].vectors for id_ in ids if id_ in self.points}

    def page(self, after: str | None, limit: int) -> list[Revision]:
        self.before("page")
        return [self._revision(id_) for id_ in sorted(self.points) if after is None or id_ > after][:limit]

    def flush(self) -> None:
        self.before("flush")

    def close(self) -> None:
        self.closed = True

    def _revision(self, id_: str) -> Revision:
        point = self.points[id_]
        return Revision(id_, point.rev, tuple(sorted(point.vectors)))


class ExactIndex:
    """Answers searches by the definitions, from a few points; the real engines are held to the same elsewhere."""

    def __init__(self, points: Sequence[VectorPoint]) -> None:
        self.points = list(points)
        self.batches: list[list[VectorQuery]] = []
        self.examples: list[list[str]] = []
        self._held = {
            point.id: dict(zip(point.words.indices, point.words.values, strict=True))
            for point in self.points
            if point.words is not None
        }

    def search(self, queries: Sequence[VectorQuery]) -> list[list[Hit]]:
        self.batches.append(list(queries))
        return [self._one(query) for query in queries]

    def vectors(self, ids: Sequence[str]) -> dict[str, Mapping[str, np.ndarray]]:
        self.examples.append(list(ids))
        return {point.id: point.vectors for point in self.points if point.id in ids}

    def value_counts(self, field: str, product_filter: ProductFilter | None, limit: int) -> dict[str, int]:
        having = [point for point in self.points if field in point.payload and _fits(product_filter, point)]
        return dict(Counter(point.payload[field] for point in having).most_common(limit))

    def _one(self, query: VectorQuery) -> list[Hit]:
        hits = []
        for point in self.points:
            if query.lacking in point.vectors or not _fits(query.filter, point):
                continue
            score = self._words(query, point) if query.vector_name == WORDS_VECTOR else _dot(query, point)
            if score is not None:
                hits.append(Hit(point.id, score, point.vectors if query.with_vectors else {}))
        return sorted(hits, key=lambda hit: -hit.score)[: query.limit]

    def _words(self, query: VectorQuery, point: VectorPoint) -> float | None:
        own = self._held.get(point.id, {})
        if not own.keys() & set(query.vector.indices):
            return None
        return sum(
            value * self._rarity(index) * own.get(index, 0.0)
            for index, value in zip(query.vector.indices, query.vector.values, strict=True)
        )

    @cache  # noqa: B019 - an index lives as long as its test
    def _rarity(self, index: int) -> float:
        number = sum(index in held for held in self._held.values())
        return math.log(1 + (len(self._held) - number + 0.5) / (number + 0.5))


def _dot(query: VectorQuery, point: VectorPoint) -> float | None:
    held = point.vectors.get(query.vector_name)
    return None if held is None else float(np.max(np.atleast_2d(held) @ query.vector))


def _fits(product_filter: ProductFilter | None, point: VectorPoint) -> bool:
    return product_filter is None or fits(product_filter, point.payload)
