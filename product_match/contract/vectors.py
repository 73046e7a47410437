"""The names of a product's vectors, and what a point may hold beside them."""

from __future__ import annotations

from typing import Final

IMAGE_VECTOR: Final = "image"
TEXT_VECTOR: Final = "text"
VECTOR_NAMES: Final = (IMAGE_VECTOR, TEXT_VECTOR)

PayloadValue = str | int | float
