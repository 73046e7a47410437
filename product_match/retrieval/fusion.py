"""How the sides of a query, a photo and words, become searches, and their hits become one ranking.

A side's score for a product is its best fit with what the product has:

    words = max over the product's photos and its words of  scaled(cos(words, vector))
    photo = max over the product's photos of                scaled(cos(photo, vector)),
            or, for a product without a photo, its words

and the score of the query is the mean of its sides by weight. `scaled` maps a cosine so that 0 is an unrelated
pair and 1 the same photo or words: cosines of photos with photos, and of photos with words, lie in different ranges.

One side alone is linear in each vector, so its best hits are the best products, exactly. Two sides are not: their
searches find candidates, which come with their vectors and are then scored by the formula. The candidates are those
whose photo fits the photo and the words together, and those whose words fit the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.errors import InvalidRequestError
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR
from product_match.vectors.vector_index import Hit

IMAGE: Final = "image"
TEXT: Final = "text"

CANDIDATES_PER_MATCH: Final = 4
LEAST_CANDIDATES: Final = 40
"""Hits of each search of a two-sided query: `CANDIDATES_PER_MATCH` for each match wanted, and no fewer than this."""

Ranking = list[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search against one named vector.

    Attributes:
        vector_name: `IMAGE_VECTOR` or `TEXT_VECTOR`.
        vector: [D] float32, not of unit length.
        offset: What to add to the dot product with a unit product vector to get the score.
    """

    vector_name: str
    vector: NDArray[np.float32]
    offset: float


@dataclass(frozen=True, kw_only=True)
class FusedQuery:
    """A query of one or two sides.

    Attributes:
        sides: `IMAGE` and/or `TEXT` to that side's embedding, [D] float32, norm 1.
        shares: The share of each side in the score; they add up to 1.
        scales: How cosines map to scores.
    """

    sides: Mapping[str, NDArray[np.float32]]
    shares: Mapping[str, float]
    scales: SimilarityScales

    @property
    def needs_vectors(self) -> bool:
        """Whether hits must come with their vectors."""
        return len(self.sides) > 1

    def searches(self) -> tuple[Search, ...]:
        """Return what to search: words look at photos and at words, a photo alone at photos."""
        return self._searches

    @cached_property
    def _searches(self) -> tuple[Search, ...]:
        among_photos = self._search(IMAGE_VECTOR, self.shares)
        if TEXT not in self.sides:
            return (among_photos,)
        return (among_photos, self._search(TEXT_VECTOR, {TEXT: 1.0}))

    def limit(self, wanted: int) -> int:
        """Return how many hits each search must give for `wanted` products."""
        return max(LEAST_CANDIDATES, CANDIDATES_PER_MATCH * wanted) if self.needs_vectors else wanted

    def rank(self, lists: Sequence[Sequence[Hit]]) -> Ranking:
        """Rank the products that the searches found.

        Args:
            lists: The hits of each of `searches()`, in the same order, with vectors where `needs_vectors`.

        Returns:
            Point ids and scores, best first; ties in the order of ids, so that a query always gets the same answer.
        """
        scores = self._fused(lists) if self.needs_vectors else self._best(lists)
        return sorted(scores.items(), key=lambda item: (-item[1], item[0]))

    def _search(self, vector_name: str, shares: Mapping[str, float]) -> Search:
        vector = np.zeros_like(next(iter(self.sides.values())))
        offset = 0.0
        for side, share in shares.items():
            scale = self._scale(side, vector_name)
            factor = share / (scale.match - scale.background)
            vector += np.float32(factor) * self.sides[side]
            offset -= factor * scale.background
        return Search(vector_name=vector_name, vector=vector, offset=offset)

    def _best(self, lists: Sequence[Sequence[Hit]]) -> dict[str, float]:
        best: dict[str, float] = {}
        for search, hits in zip(self.searches(), lists, strict=True):
            for hit in hits:
                score = hit.score + search.offset
                if score > best.get(hit.id, -np.inf):
                    best[hit.id] = score
        return best

    def _fused(self, lists: Sequence[Sequence[Hit]]) -> dict[str, float]:
        found = {hit.id: hit.vectors for hits in lists for hit in hits}
        with_photos = self._side_scores(found, IMAGE_VECTOR)
        with_words = self._side_scores(found, TEXT_VECTOR)
        photo = np.where(np.isfinite(with_photos[IMAGE]), with_photos[IMAGE], with_words[IMAGE])
        words = np.maximum(with_photos[TEXT], with_words[TEXT])
        scores = self.shares[IMAGE] * photo + self.shares[TEXT] * words
        return dict(zip(found, scores.tolist(), strict=True))

    def _side_scores(
        self, found: Mapping[str, Mapping[str, NDArray[np.float32]]], vector_name: str
    ) -> dict[str, NDArray[np.float64]]:
        """Return each side's best score among the products' vectors of one name, -inf where a product has none."""
        owners = [place for place, vectors in enumerate(found.values()) if vector_name in vectors]
        held = [np.atleast_2d(vectors[vector_name]) for vectors in found.values() if vector_name in vectors]
        scores = {side: np.full(len(found), -np.inf) for side in self.sides}
        if held:
            rows, places = np.concatenate(held), np.repeat(owners, [len(vectors) for vectors in held])
            for side, embeds in self.sides.items():
                scale = self._scale(side, vector_name)
                scaled = (rows @ embeds - scale.background) / (scale.match - scale.background)
                np.maximum.at(scores[side], places, scaled)
        return scores

    def _scale(self, side: str, vector_name: str) -> SimilarityScale:
        scale: SimilarityScale = getattr(self.scales, f"{side}_to_{vector_name}")
        return scale


def fuse(
    sides: Mapping[str, NDArray[np.float32]], weights: Mapping[str, float], scales: SimilarityScales
) -> FusedQuery:
    """Make one query of the sides that are given.

    Args:
        sides: `IMAGE` and/or `TEXT` to that side's embedding, [D] float32, norm 1.
        weights: A weight of at least 0 for each side; a side that weighs nothing is left out.
        scales: How cosines map to scores.

    Raises:
        InvalidRequestError: All weights are 0.
    """
    total = sum(weights[side] for side in sides)
    if total <= 0:
        raise InvalidRequestError("image_weight and text_weight: both are 0; give at least one of them more")
    heard = {side: embeds for side, embeds in sides.items() if weights[side] > 0}
    return FusedQuery(sides=heard, shares={side: weights[side] / total for side in heard}, scales=scales)
