"""The names of a product's vectors, and what a point may hold beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

IMAGE_VECTOR: Final = "image"
TEXT_VECTOR: Final = "text"
VECTOR_NAMES: Final = (IMAGE_VECTOR, TEXT_VECTOR)
"""The dense ones, at unit length."""

WORDS_VECTOR: Final = "words"
"""The sparse one: BM25's weight of each term."""

PayloadValue = str | int | float


@dataclass(frozen=True, slots=True)
class SparseVector:
    """A vector of which only some numbers are not zero.

    Attributes:
        indices: Where they stand, each once.
        values: The numbers, in the same order.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]
