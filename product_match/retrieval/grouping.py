"""Takes matches apart by what they are: variants into groups, a few of each value, one of what looks the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from product_match.contract.encoder import SimilarityScales
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR
from product_match.retrieval.answers import Match
from product_match.retrieval.composition import HeldVectors

MOST_VARIANTS = 20
"""Variants that are shown inside a group."""


def at_most(matches: Sequence[Match], limits: Mapping[str, int]) -> list[Match]:
    """Keep so many of each value of fields, the first ones; a product without the field is kept."""
    seen: Counter[tuple[str, object]] = Counter()
    kept = []
    for match in matches:
        values = [(name, match.fields[name]) for name in limits if match.fields.get(name) is not None]
        if all(seen[value] < limits[value[0]] for value in values):
            seen.update(values)
            kept.append(match)
    return kept


def grouped(matches: Sequence[Match], field: str) -> list[Match]:
    """Put products of one value into the first of them, as its variants; one without the field stands alone."""
    places: dict[object, int] = {}
    groups: list[list[Match]] = []
    for match in matches:
        value = match.fields.get(field)
        if value is None or value not in places:
            if value is not None:
                places[value] = len(groups)
            groups.append([match])
        else:
            groups[places[value]].append(match)
    return [replace(first, variants=tuple(others[:MOST_VARIANTS])) for first, *others in groups]


def collapsed(matches: Sequence[Match], ids: Sequence[str], held: HeldVectors, similarity: float) -> list[Match]:
    """Put near-duplicates into the first of them: products as similar as that in photo, or in words without one.

    Args:
        matches: In order.
        ids: Their point ids.
        held: Their vectors.
        similarity: Cosine from which two are the same.
    """
    alike = cosines(ids, held)
    firsts: list[int] = []
    doubles: dict[int, list[str]] = {}
    for place, match in enumerate(matches):
        first = next((kept for kept in firsts if alike[kept, place] >= similarity), None)
        if first is None:
            firsts.append(place)
        else:
            doubles.setdefault(first, []).append(match.product.product_id)
    return [replace(matches[place], duplicates=tuple(doubles.get(place, ()))) for place in firsts]


def diversified(
    matches: Sequence[Match], ids: Sequence[str], held: HeldVectors, diversity: float, scales: SimilarityScales
) -> list[Match]:
    """Order matches by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    Each place goes to the match of the greatest `(1 - diversity) * score - diversity * likeness`, where likeness is
    the scaled similarity, from 0 to 1, with the most alike of those before it.
    """
    scale = scales.image_to_image
    alike = np.clip((cosines(ids, held) - scale.background) / (scale.match - scale.background), 0.0, 1.0)
    scores = np.asarray([match.score for match in matches]) * (1.0 - diversity)
    nearest = np.zeros(len(matches))
    left = list(range(len(matches)))
    order = []
    while left:
        best = max(left, key=lambda place: (scores[place] - diversity * nearest[place], -place))
        left.remove(best)
        order.append(best)
        nearest = np.maximum(nearest, alike[best])
    return [matches[place] for place in order]


def cosines(ids: Sequence[str], held: HeldVectors) -> NDArray[np.float64]:
    """Return how similar each pair is, [n, n]: by photos where both have one, else by words; -1 where neither."""
    by_photo, by_words = (_cosines(ids, held, name) for name in (IMAGE_VECTOR, TEXT_VECTOR))
    return np.where(np.isnan(by_photo), np.where(np.isnan(by_words), -1.0, by_words), by_photo)


def _cosines(ids: Sequence[str], held: HeldVectors, name: str) -> NDArray[np.float64]:
    vectors = [held.get(id_, {}).get(name) for id_ in ids]
    size = next((vector.shape[-1] for vector in vectors if vector is not None), 1)
    nothing = np.full(size, np.nan)
    rows = np.asarray([nothing if vector is None else np.atleast_2d(vector)[0] for vector in vectors]).reshape(
        -1, size
    )
    similar: NDArray[np.float64] = rows @ rows.T
    return similar
