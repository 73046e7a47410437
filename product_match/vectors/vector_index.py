"""The interface that retrieval and the catalogue have to a vector index, whichever engine holds it.

Vectors are stored at unit length under the names `image` and `text`, with the dot product as distance. For unit
vectors that is the cosine; unlike the cosine it leaves the length of a query vector alone, which carries the
weights of a combined query, so `Hit.score` is the plain dot product of the query as given with the stored vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from product_match.contract.filters import ProductFilter
from product_match.contract.vectors import PayloadValue, SparseVector

REV_KEY: Final = "rev"
VECTORS_KEY: Final = "vectors"

SEARCH_WIDTH: Final = 256
"""Candidates that a search of an HNSW graph keeps (`ef`); `benchmarks.recall` compares."""

GRAPH_THRESHOLD: Final = 20_000
"""Points from which an HNSW graph is worth its minutes; fewer are compared with one by one in a few milliseconds."""


@dataclass(frozen=True, kw_only=True)
class VectorPoint:
    """One product as the index holds it.

    Attributes:
        id: A UUID, `point_id(product_id)`.
        rev: The document's revision that these vectors belong to.
        vectors: Unit vectors, float32, under `image`, `text` or both: [D], or [k, D] for `image` where the product
            has several photos.
        words: BM25's weight of each term; None where the product has no words.
        payload: The fields that can be filtered on, and no others.
    """

    id: str
    rev: int
    vectors: Mapping[str, NDArray[np.float32]]
    payload: Mapping[str, PayloadValue]
    words: SparseVector | None = None


@dataclass(frozen=True, kw_only=True)
class VectorQuery:
    """One search.

    Attributes:
        vector_name: `image`, `text` or `words`.
        vector: float32 [D], of any length; sparse for `words`.
        limit: Most hits.
        filter: Which products may answer; None for all.
        with_vectors: Whether hits come with all dense vectors of their product.
        lacking: Only products without the vector of this name may answer; None for all.
    """

    vector_name: str
    vector: NDArray[np.float32] | SparseVector
    limit: int
    filter: ProductFilter | None = None
    with_vectors: bool = False
    lacking: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer of a search.

    Attributes:
        id: The point's id.
        score: Dot product of the query with the point's vector, the best one where it has several; for `words`, each
            term's product times its rarity.
        vectors: All vectors of the point by name, float32 [D] or, where it has several, [k, D]; empty unless
            the query asked for them.
    """

    id: str
    score: float
    vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """What the index holds of one product, without its vectors."""

    id: str
    rev: int
    vectors: tuple[str, ...]


class VectorIndex(Protocol):
    """What an engine must do. Every method raises UnavailableError where the engine does not answer in time."""

    def search(self, queries: Sequence[VectorQuery]) -> list[list[Hit]]:
        """Answer all queries with one call to the engine, best hit first."""

    def upsert(self, points: Sequence[VectorPoint]) -> None:
        """Add or wholly replace points; on return they can be found and survive a killed process."""

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points; unknown ids are no error."""

    def count(self) -> int:
        """Return how many points there are."""

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what is held of `ids`; absent ids are left out."""

    def vectors(self, ids: Sequence[str]) -> dict[str, Mapping[str, NDArray[np.float32]]]:
        """Return the dense vectors of `ids` with one call, as a hit has them; absent ids are left out."""

    def value_counts(self, field: str, product_filter: ProductFilter | None, limit: int) -> dict[str, int]:
        """Return how many of the points that fit have each text in a field, of the most frequent texts."""

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions in the order of ids, from the first id above `after`."""

    def flush(self) -> None:
        """Write everything to disk."""

    def close(self) -> None:
        """Let go of files and connections; a second call does nothing."""


def revisions(index: VectorIndex, page_size: int = 1000) -> Iterator[Revision]:
    """Yield every revision that `index` holds, a page at a time."""
    after: str | None = None
    while True:
        page = index.page(after, page_size)
        yield from page
        if len(page) < page_size:
            return
        after = page[-1].id
