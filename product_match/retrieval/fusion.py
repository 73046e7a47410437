"""Combines the photo's and the words' embeddings into one query vector for each named vector.

The score of a product vector v for a query with sides s and weights w is

    sum_s w_s * (cos(q_s, v) - background_s) / (match_s - background_s)  /  sum_s w_s

which is linear in v. So one combined query vector finds the exact order at any catalogue size, where merging two
result lists would lose products that are good, but best in neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.errors import InvalidRequestError

IMAGE: Final = "image"
TEXT: Final = "text"


@dataclass(frozen=True, kw_only=True)
class CombinedQuery:
    """A query against one named vector.

    Attributes:
        vector_name: "image" or "text".
        vector: [D] float32, not of unit length.
        offset: What to add to the dot product with a unit product vector to get the score.
    """

    vector_name: str
    vector: NDArray[np.float32]
    offset: float


def combine(
    sides: Mapping[str, NDArray[np.float32]], weights: Mapping[str, float], scales: SimilarityScales
) -> tuple[CombinedQuery, ...]:
    """Combine the sides of one query.

    Args:
        sides: "image" and/or "text" to that side's embedding, [D] float32, norm 1.
        weights: A weight of at least 0 for each side, not all 0.
        scales: How cosines map to scores.

    Returns:
        One query for each named vector to search: words look at photos and at words, a photo alone at photos.

    Raises:
        InvalidRequestError: All weights are 0.
    """
    total = sum(weights[side] for side in sides)
    if total <= 0:
        raise InvalidRequestError("image_weight and text_weight: both are 0; give at least one of them more")
    names = (IMAGE, TEXT) if TEXT in sides and weights[TEXT] > 0 else (IMAGE,)
    return tuple(_combined(name, sides, {side: weights[side] / total for side in sides}, scales) for name in names)


def _combined(
    vector_name: str,
    sides: Mapping[str, NDArray[np.float32]],
    shares: Mapping[str, float],
    scales: SimilarityScales,
) -> CombinedQuery:
    vector = np.zeros_like(next(iter(sides.values())))
    offset = 0.0
    for side, embeds in sides.items():
        scale: SimilarityScale = getattr(scales, f"{side}_to_{vector_name}")
        factor = shares[side] / (scale.match - scale.background)
        vector += np.float32(factor) * embeds
        offset -= factor * scale.background
    return CombinedQuery(vector_name=vector_name, vector=vector, offset=offset)
