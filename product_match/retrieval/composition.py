"""Several things that are asked for as one: a photo, words, and products that what is sought is like and unlike.

Scaled similarities are linear in the query's vector, so a weighted sum of them is that of one vector: one search
among photos and one among words find the candidates. Then each of them is measured against each thing by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR, VECTOR_NAMES
from product_match.retrieval.examples import Examples
from product_match.retrieval.rows import IMAGE, LIKE, TEXT, Negative, RowQuery, Vector

if TYPE_CHECKING:
    from product_match.retrieval.searches import Parts

HeldVectors = Mapping[str, Mapping[str, NDArray[np.float32]]]
"""Vectors of products by point id, then by name."""

Scales = Mapping[str, SimilarityScale]
"""Of a query's side, by the name of the vector that it is compared with."""


def scaled_vector(embeds: Vector, scale: SimilarityScale) -> tuple[Vector, float]:
    """Return a vector and an offset so that dot product plus offset is the similarity on the scale."""
    factor = 1.0 / (scale.match - scale.background)
    return (embeds * np.float32(factor)).astype(np.float32), -factor * scale.background


def composed_vectors(row: RowQuery, scales: SimilarityScales) -> dict[str, tuple[Vector, float]]:
    """Return, for each name of a vector, the sum of all that is asked for, by its shares, and its offset.

    Words are looked for among the vectors of words; the photo alone is not, for there it says little.
    """
    found = {}
    for name, scale in _scales(scales).items():
        terms: list[tuple[float, Vector, SimilarityScale]] = []
        if TEXT in row.sides:
            terms.append((row.shares[TEXT], row.sides[TEXT], scale[TEXT]))
        if IMAGE in row.sides and (name == IMAGE_VECTOR or LIKE in row.shares):
            terms.append((row.shares[IMAGE], row.sides[IMAGE], scale[IMAGE]))
        if row.examples is not None:
            terms += _example_terms(row.examples, row.shares.get(LIKE, 0.0), name, _likeness(scales)[name])
        if name == TEXT_VECTOR and LIKE not in row.shares:
            terms = [(1.0 if share > 0 else share, vector, scale) for share, vector, scale in terms]
        if any(share > 0 for share, _, _ in terms):
            scaled = [(share, *scaled_vector(vector, scale)) for share, vector, scale in terms]
            total = np.sum([np.float32(share) * vector for share, vector, _ in scaled], axis=0, dtype=np.float32)
            found[name] = (total, sum(share * offset for share, _, offset in scaled))
    return found


def _example_terms(
    examples: Examples, share: float, name: str, scale: SimilarityScale
) -> list[tuple[float, Vector, SimilarityScale]]:
    terms: list[tuple[float, Vector, SimilarityScale]] = []
    centre = examples.centre(name)
    if centre is not None and share > 0:
        terms.append((share, centre, scale))
    unlike = [vectors[name] for vectors in examples.unlike_vectors() if name in vectors]
    if unlike and examples.unlike_weight > 0:
        mean = np.mean(unlike, axis=0, dtype=np.float32)
        terms.append((-examples.unlike_weight, mean, scale))
    return terms


def measure(row: RowQuery, parts: Mapping[str, Parts], held: HeldVectors, scales: SimilarityScales) -> None:
    """Compare everything that is asked for with the vectors of every product that was found."""
    of_side = _scales(scales)
    for id_, similarity in _photo_similarity(row, held, of_side).items():
        parts[id_].photo = similarity
    if TEXT in row.sides:
        compared = [best(held, name, row.sides[TEXT], scale[TEXT]) for name, scale in of_side.items()]
        for id_ in held:
            parts[id_].text = max((found[id_] for found in compared if id_ in found), default=None)
    if row.examples is not None:
        _measure_examples(row.examples, parts, held, _likeness(scales))


def measure_negative(
    negative: Negative,
    held_words: Mapping[str, float],
    parts: Mapping[str, Parts],
    held: HeldVectors,
    scales: SimilarityScales,
) -> None:
    """Take off each product what it is too like: of a photo, or of words, which it may have or be near in sense.

    Args:
        negative: What is sought is not to be like this.
        held_words: BM25's score of the products that have some of its words.
        parts: What is known of each product, by point id.
        held: Their vectors.
        scales: Of similarities.
    """
    of_side = _scales(scales)
    likeness = dict.fromkeys(held, 0.0)
    for side, vector in negative.sides.items():
        for name, scale in of_side.items():
            for id_, similarity in best(held, name, vector, scale[side]).items():
                likeness[id_] = max(likeness[id_], similarity)
    for id_, score in held_words.items():
        if id_ in likeness and negative.words is not None:
            likeness[id_] = max(likeness[id_], min(1.0, negative.words.held(score)))
    for id_, value in likeness.items():
        parts[id_].negative += negative.weight * value


def _photo_similarity(row: RowQuery, held: HeldVectors, of_side: Mapping[str, Scales]) -> dict[str, float]:
    """Return the similarity with the photo: of a product's photos, or of its words where it has no photo."""
    if IMAGE not in row.sides:
        return {}
    photo = row.sides[IMAGE]
    by_words = best(held, TEXT_VECTOR, photo, of_side[TEXT_VECTOR][IMAGE])
    return {**by_words, **best(held, IMAGE_VECTOR, photo, of_side[IMAGE_VECTOR][IMAGE])}


def _measure_examples(examples: Examples, parts: Mapping[str, Parts], held: HeldVectors, scales: Scales) -> None:
    centre = {name: examples.centre(name) for name in VECTOR_NAMES}
    liked = _likeness_to({name: vector for name, vector in centre.items() if vector is not None}, held, scales)
    unliked = [_likeness_to(vectors, held, scales) for vectors in examples.unlike_vectors()]
    for id_ in held:
        parts[id_].like = liked.get(id_)
        parts[id_].unlike = max((found[id_] for found in unliked if id_ in found), default=None)


def _likeness_to(example: Mapping[str, Vector], held: HeldVectors, scales: Scales) -> dict[str, float]:
    """Return how alike products are to one: the mean over photos and words, as far as both have them."""
    compared = [best(held, name, vector, scales[name]) for name, vector in example.items()]
    likeness = {}
    for id_ in held:
        found = [similarity[id_] for similarity in compared if id_ in similarity]
        if found:
            likeness[id_] = sum(found) / len(found)
    return likeness


def best(held: HeldVectors, vector_name: str, embeds: Vector, scale: SimilarityScale) -> dict[str, float]:
    """Return the best scaled similarity of `embeds` with each product's vectors of one name."""
    having = {id_: np.atleast_2d(vectors[vector_name]) for id_, vectors in held.items() if vector_name in vectors}
    if not having:
        return {}
    counts = [len(rows) for rows in having.values()]
    similarities = (np.concatenate(list(having.values())) @ embeds - scale.background) / (
        scale.match - scale.background
    )
    greatest = np.maximum.reduceat(similarities, np.cumsum([0, *counts[:-1]]))
    return dict(zip(having, greatest.tolist(), strict=True))


def _scales(scales: SimilarityScales) -> dict[str, Scales]:
    return {
        IMAGE_VECTOR: {IMAGE: scales.image_to_image, TEXT: scales.text_to_image},
        TEXT_VECTOR: {IMAGE: scales.image_to_text, TEXT: scales.text_to_text},
    }


def _likeness(scales: SimilarityScales) -> Scales:
    """Return the scales of a product's vectors with another's of the same name."""
    return {IMAGE_VECTOR: scales.image_to_image, TEXT_VECTOR: scales.text_to_text}
