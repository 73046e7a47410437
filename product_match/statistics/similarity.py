"""What the similarity of two photos means in a catalogue, fitted on the catalogue's own products.

Nobody has judged a shop's queries, but its products say what belongs together. Each product's photo is asked for
among the others: that the nearest is of the same category is an answer that a person would accept; and with the
whole category left out, as though the shop did not carry it, the nearest is one that nobody would.

How far the nearest stands out from a query's own background was tried beside the similarity, and told less: a photo
of something else stands out from a catalogue of clothes, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.statistics.logistic import LogisticMap, fit_logistic

LEAST_EXAMPLES: Final = 40
"""Products from which a fit says more than the encoder's own scale."""

MOST_ASKED: Final = 500

FloatArray = NDArray[np.float32]


def fit_similarity(vectors: FloatArray, groups: Sequence[str]) -> LogisticMap | None:
    """Fit what the similarity of two products' vectors says of whether they belong together.

    Args:
        vectors: [n, D], unit length, of products drawn at random.
        groups: The category of each.

    Returns:
        A map of the cosine; None where there is too little to learn from.
    """
    if len(vectors) < LEAST_EXAMPLES or len(set(groups)) < 2:
        return None
    names = np.asarray(groups)
    nearest: list[float] = []
    accepted: list[bool] = []
    for place in range(min(len(vectors), MOST_ASKED)):
        cosines = (vectors @ vectors[place]).astype(np.float64)
        cosines[place] = -1.0
        others = np.where(names == names[place], -1.0, cosines)
        for among in (cosines, others):
            best = int(np.argmax(among))
            nearest.append(float(among[best]))
            accepted.append(bool(names[best] == names[place]))
    return fit_logistic(np.asarray(nearest).reshape(-1, 1), accepted)
