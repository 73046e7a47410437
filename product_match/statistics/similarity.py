"""What a similarity means in a catalogue: a query's own background, and a fit on the catalogue's own products.

Nobody has judged a shop's queries, but its products say what belongs together. Each product's photo is asked for
among the others: that the nearest is of the same category is an answer that a person would accept; and with the
whole category left out, as though the shop did not carry it, the nearest is one that nobody would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.statistics.logistic import LogisticMap, fit_logistic

LEAST_EXAMPLES: Final = 40
"""Products from which a fit says more than the encoder's own scale."""

MOST_ASKED: Final = 500

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Background:
    """Vectors of products drawn at random, of one kind.

    Attributes:
        vectors: [n, D], unit length.
    """

    vectors: FloatArray = field(repr=False)

    def standard_scores(self, query: FloatArray, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how many standard deviations similarities stand out from those of products drawn at random.

        Args:
            query: [D], unit length.
            similarities: Cosines of `query` with the products in question.
        """
        if len(self.vectors) < 2:
            return np.zeros_like(similarities)
        usual = self.vectors @ query  # [n]
        scores: NDArray[np.float64] = (similarities - usual.mean()) / max(float(usual.std()), 1e-6)
        return scores


def similarity_features(
    background: Background, query: FloatArray, cosines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what is told of a match by its similarity, [n, 2]: the cosine, and how far it stands out."""
    return np.column_stack([cosines, background.standard_scores(query, cosines)])


def fit_similarity(vectors: FloatArray, groups: Sequence[str]) -> LogisticMap | None:
    """Fit what the similarity of two products' vectors says of whether they belong together.

    Args:
        vectors: [n, D], unit length, of products drawn at random.
        groups: The category of each.

    Returns:
        A map of `similarity_features`; None where there is too little to learn from.
    """
    if len(vectors) < LEAST_EXAMPLES or len(set(groups)) < 2:
        return None
    names = np.asarray(groups)
    asked = range(min(len(vectors), MOST_ASKED))
    features: list[NDArray[np.float64]] = []
    accepted: list[bool] = []
    background = Background(vectors)
    for place in asked:
        cosines = (vectors @ vectors[place]).astype(np.float64)
        cosines[place] = -1.0
        others = np.where(names == names[place], -1.0, cosines)
        for among in (cosines, others):
            best = int(np.argmax(among))
            features.append(similarity_features(background, vectors[place], among[best : best + 1]))
            accepted.append(bool(names[best] == names[place]))
    return fit_logistic(np.concatenate(features), accepted)
