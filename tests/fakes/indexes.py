"""A vector index in memory that fails on order, for tests of what is around an index."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from product_match.vectors.vector_index import Hit, Revision, VectorPoint, VectorQuery


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
