"""Answers queries: one vector query batch and one document query for a whole Triton batch."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from product_match.contract import limits
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import InvalidRequestError, ProductMatchError, in_row, unforeseen
from product_match.contract.filters import ProductFilter, read_filter
from product_match.contract.models import IMAGE_GIVEN, MATCHES, TEXT_GIVEN
from product_match.index.product_cache import StoredProduct
from product_match.retrieval.fusion import IMAGE, TEXT, FusedQuery, Ranking, fuse
from product_match.triton.batches import Answer, BatchRequest, bytes_column
from product_match.vectors.vector_index import Hit, VectorQuery

LOGGER = logging.getLogger(__name__)


class Search(Protocol):
    """The part of a vector index that retrieval uses."""

    def search(self, queries: Sequence[VectorQuery]) -> list[list[Hit]]:
        """Answer several queries in one call, best hits first."""


class Products(Protocol):
    """Where retrieval reads products."""

    def fetch(self, ids: Sequence[str]) -> Mapping[str, StoredProduct]:
        """Return the products of the point ids that exist, with one call to the document store at most."""


@dataclass(frozen=True, kw_only=True)
class RowQuery:
    """One row of a request, ready to search."""

    query_id: str
    query: FusedQuery
    top_k: int
    fields: tuple[str, ...] | None
    filter: ProductFilter | None
    min_score: float | None

    @property
    def limit(self) -> int:
        """Hits to ask for: a few more than wanted, as a product may have been deleted since it was indexed."""
        return self.top_k + self.top_k // 10 + 1


class RetrievalService:
    """Answers `retrieval`."""

    def __init__(self, encoder: EncoderSpec, index: Search, products: Products) -> None:
        """Search `index` and join with `products`; scores follow the encoder's scales."""
        self._encoder = encoder
        self._index = index
        self._products = products

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Answer the rows of all requests with one search and one document query."""
        plans: list[list[RowQuery] | ProductMatchError] = [self._plan(request) for request in requests]
        rows = [row for plan in plans if isinstance(plan, list) for row in plan]
        answers = iter(self._answers(rows) if rows else ())
        return [
            {MATCHES.name: bytes_column([next(answers) for _ in plan])} if isinstance(plan, list) else plan
            for plan in plans
        ]

    def _plan(self, request: BatchRequest) -> list[RowQuery] | ProductMatchError:
        rows: list[RowQuery] = []
        for row in range(request.rows):
            try:
                rows.append(self._row(request, row))
            except ProductMatchError as error:
                return error
            except Exception:
                return in_row(unforeseen(LOGGER, "a query could not be read"), row, request.rows)
        return rows

    def _row(self, request: BatchRequest, row: int) -> RowQuery:
        options = request.parameters
        sides = _given_sides(request, row)
        weights = {IMAGE: options.get("image_weight", 0.5), TEXT: options.get("text_weight", 0.5)}
        query = fuse(sides, weights if len(sides) == 2 else dict.fromkeys(sides, 1.0), self._encoder.scales)
        name = request.request_id or uuid.uuid4().hex
        return RowQuery(
            query_id=name if request.rows == 1 else f"{name}/{row}",
            query=query,
            top_k=options.get("top_k", limits.DEFAULT_TOP_K),
            fields=options.get("fields"),
            filter=read_filter(options.get("filter")),
            min_score=options.get("min_score"),
        )

    def _answers(self, rows: Sequence[RowQuery]) -> list[bytes]:
        queries = [
            VectorQuery(
                vector_name=search.vector_name,
                vector=search.vector,
                limit=row.query.limit(row.limit),
                filter=row.filter,
                with_vectors=row.query.needs_vectors,
            )
            for row in rows
            for search in row.query.searches()
        ]
        hits = iter(self._index.search(queries))
        ranked = [_ranked(row, [next(hits) for _ in row.query.searches()]) for row in rows]
        wanted = sorted({point_id for scores in ranked for point_id, _ in scores})
        found = self._products.fetch(wanted) if wanted else {}
        return [self._answer(row, scores, found) for row, scores in zip(rows, ranked, strict=True)]

    def _answer(
        self, row: RowQuery, scores: Sequence[tuple[str, float]], found: Mapping[str, StoredProduct]
    ) -> bytes:
        there = [(found[point_id], score) for point_id, score in scores if point_id in found][: row.top_k]
        matches = [
            {
                "rank": rank,
                "product_id": product.product_id,
                "score": round(score, 6),
                "product": _selected(product, row.fields),
            }
            for rank, (product, score) in enumerate(there, start=1)
        ]
        return orjson.dumps({"query_id": row.query_id, "encoder": self._encoder.identity, "matches": matches})


def _given_sides(request: BatchRequest, row: int) -> dict[str, NDArray[np.float32]]:
    sides = {}
    for side, given in ((IMAGE, IMAGE_GIVEN.name), (TEXT, TEXT_GIVEN.name)):
        embeds = request.tensors.get(f"{side}_embeds")
        flags = request.tensors.get(given)
        if embeds is not None and (flags is None or flags[row, 0]):
            if not np.isfinite(embeds[row]).all():
                raise InvalidRequestError(f"{side}_embeds: row {row} holds NaN or infinity; send finite numbers")
            sides[side] = embeds[row]
    if not sides:
        raise InvalidRequestError(
            f"row {row}: no photo and no words came (0 bytes); send `image_bytes`, `query_text`, or both"
        )
    return sides


def _ranked(row: RowQuery, lists: Sequence[Sequence[Hit]]) -> Ranking:
    ranking = row.query.rank(lists)
    if row.min_score is not None:
        ranking = [item for item in ranking if item[1] >= row.min_score]
    return ranking[: row.limit]


def _selected(product: StoredProduct, fields: tuple[str, ...] | None) -> orjson.Fragment | dict[str, Any]:
    if fields is None:
        return orjson.Fragment(product.json)
    held = orjson.loads(product.json) if fields else {}
    return {name: held[name] for name in fields if name in held}
