"""How the vectors of a product's photos lie in an engine.

The first photo's is the plain vector `image`. The others are the rows of the multivector `images`, which a product of
one photo does not have: an engine takes longer to compare with a multivector of one row than with a plain vector
(`benchmarks.photo_vectors` measures it), and most products have one photo.

A search among photos is therefore two, of which the better score counts for each product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.vectors import IMAGE_VECTOR, VECTOR_NAMES
from product_match.vectors.vector_index import Hit, VectorQuery

MORE_IMAGES_VECTOR: Final = "images"
ENGINE_VECTOR_NAMES: Final = (*VECTOR_NAMES, MORE_IMAGES_VECTOR)

Vectors = dict[str, NDArray[np.float32]]


def split_photos(vectors: Mapping[str, NDArray[np.float32]]) -> Vectors:
    """Return a point's vectors as an engine holds them: [D], but [k - 1, D] for `images`."""
    photos = vectors.get(IMAGE_VECTOR)
    if photos is None or photos.ndim == 1:
        return dict(vectors)
    more = {MORE_IMAGES_VECTOR: photos[1:]} if len(photos) > 1 else {}
    return {**vectors, IMAGE_VECTOR: photos[0], **more}


def join_photos(held: Mapping[str, NDArray[np.float32]]) -> Vectors:
    """Return the vectors that `split_photos` split."""
    vectors = dict(held)
    more = vectors.pop(MORE_IMAGES_VECTOR, None)
    if more is not None:
        vectors[IMAGE_VECTOR] = np.vstack([vectors[IMAGE_VECTOR], more])
    return vectors


def searches(queries: Sequence[VectorQuery]) -> list[VectorQuery]:
    """Return what to ask an engine: after each search among photos, the same among further photos."""
    asked: list[VectorQuery] = []
    for query in queries:
        asked.append(query)
        if query.vector_name == IMAGE_VECTOR:
            asked.append(replace(query, vector_name=MORE_IMAGES_VECTOR))
    return asked


def merged(queries: Sequence[VectorQuery], answers: Sequence[list[Hit]]) -> list[list[Hit]]:
    """Return the answers to `queries` from those to `searches(queries)`: each product once, by its best photo.

    No product is missed: among the best by the better of two scores, each is among the best by that one.
    """
    left = iter(answers)
    return [
        _best(next(left), next(left), query.limit) if query.vector_name == IMAGE_VECTOR else next(left)
        for query in queries
    ]


def _best(first: list[Hit], further: list[Hit], limit: int) -> list[Hit]:
    if not further:
        return first
    best: dict[str, Hit] = {}
    for hit in (*first, *further):
        if hit.id not in best or hit.score > best[hit.id].score:
            best[hit.id] = hit
    return sorted(best.values(), key=lambda hit: -hit.score)[:limit]
