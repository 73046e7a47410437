"""From the engine's points to hits. Turning its vectors into lists and arrays takes longer than the search."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import qdrant_edge
from numpy.typing import NDArray

from product_match.vectors import photo_vectors
from product_match.vectors.vector_index import Hit

_NO_VECTORS: Final[Mapping[str, NDArray[np.float32]]] = {}


class HitReader:
    """Makes the hits of one batch of searches; vectors of a product that several of them found are read once."""

    def __init__(self) -> None:
        self._held: dict[str, Mapping[str, NDArray[np.float32]]] = {}

    def hit(self, point: qdrant_edge.ScoredPoint, with_vectors: bool) -> Hit:
        """Return the hit that a point is."""
        id_ = str(point.id)
        return Hit(id_, point.score, self._vectors(id_, point) if with_vectors else _NO_VECTORS)

    def _vectors(self, id_: str, point: qdrant_edge.ScoredPoint) -> Mapping[str, NDArray[np.float32]]:
        held = self._held.get(id_)
        if held is None:
            held = self._held[id_] = held_vectors(point)
        return held


def held_vectors(point: qdrant_edge.ScoredPoint | qdrant_edge.Record) -> Mapping[str, NDArray[np.float32]]:
    """Return the vectors that came with a point."""
    named = point.vector  # each access makes new lists
    arrays = {name: _array(numbers) for name, numbers in named.items()} if isinstance(named, dict) else {}
    return photo_vectors.join_photos(arrays)


def _array(numbers: Any) -> NDArray[np.float32]:
    """Return one vector [D] or several [k, D]; packing one is three times as fast as `np.asarray`."""
    if isinstance(numbers[0], float):
        return np.frombuffer(struct.pack(f"{len(numbers)}f", *numbers), np.float32)
    return np.asarray(numbers, np.float32)
