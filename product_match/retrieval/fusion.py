"""How what the searches say of a product becomes one score.

`calibrated`, the default, adds parts that are each on a scale of their own meaning:

    words = a * held + (1 - a) * similarity,   a = 0.6 * known

where `held` is how much of the typed words the product has (BM25 over what a product about every word has), and
`similarity` is that of the vectors, 0 for an unrelated pair and 1 for the same words. The share `a` of exact words
falls with what the catalogue knows of them: words that no product has are left to the vectors. With a photo beside,
the score is the mean of both sides by weight; a likeness to products that were named is a side as well, and what is
alike to those that it is to be unlike loses by that. The others are those that search engines offer;
`benchmarks.fusion`
compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from product_match.retrieval.rows import IMAGE, LIKE, TEXT, RowQuery
from product_match.retrieval.searches import IDENTIFIERS, PHOTOS, TEXTS, WORDS, Found, Parts
from product_match.vectors.vector_index import Hit

WORDS_SHARE: Final = 0.6
UNLIKE_SHARE: Final = 0.1
"""What a similarity below 0 counts beside exact words: how unrelated unrelated words are says next to nothing."""

MOST_HELD: Final = 1.4
"""A product may say a word more often than one that is about it, and is not the better for it. With all of the words
it has 1; more where it is what was asked for, or has the words as one whole value."""

MOST_HELD_BESIDE_A_PHOTO: Final = 1.2
"""The photo says what is looked for, and the words only how it is changed: "in green" are no bell peppers."""

IDENTIFIED_SCORE: Final = 1.5
"""Above any score that words and similarity reach: who types an identifier means that product."""

RRF_K: Final = 60
DBSF_DEVIATIONS: Final = 3.0

Ranking = list[tuple[str, float]]


def rank(row: RowQuery, found: Found) -> Ranking:
    """Rank the products that were found for a row.

    Returns:
        Point ids and scores, best first; ties in the order of ids, so that a query always gets the same answer.
    """
    fuse = _FUSIONS.get(row.fusion)
    scores = _calibrated(row, found) if fuse is None else fuse(found)
    for id_, parts in found.parts.items():
        if fuse is not None and parts.negative:
            scores[id_] = scores.get(id_, 0.0) - parts.negative
        if parts.identified:
            scores[id_] = IDENTIFIED_SCORE + scores.get(id_, 0.0) / 100
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def word_score(row: RowQuery, parts: Parts, floors: Mapping[str, float]) -> float:
    """Return how well a product fits the words of a row."""
    similarity = _similarity(parts, floors) if row.fusion != "words" else 0.0
    if row.words is None or row.fusion == "vector":
        return similarity
    held = min(row.words.held(parts.words or 0.0), MOST_HELD_BESIDE_A_PHOTO if row.is_composed else MOST_HELD)
    share = 1.0 if row.fusion == "words" else WORDS_SHARE * row.words.known
    if similarity < 0:
        similarity *= UNLIKE_SHARE
    return share * held + (1.0 - share) * similarity


def _similarity(parts: Parts, floors: Mapping[str, float]) -> float:
    if parts.text is not None:
        return parts.text
    return parts.photo if parts.photo is not None else floors.get(TEXTS, 0.0)


def _calibrated(row: RowQuery, found: Found) -> dict[str, float]:
    scores = {}
    for id_, parts in found.parts.items():
        if row.is_composed:
            scores[id_] = _composed(row, parts, found.floors)
        elif IMAGE in row.sides:
            scores[id_] = parts.photo if parts.photo is not None else 0.0
        else:
            scores[id_] = word_score(row, parts, found.floors)
    return scores


def _composed(row: RowQuery, parts: Parts, floors: Mapping[str, float]) -> float:
    """Add up what is asked for by its shares, and take off what it is not to be like."""
    score = 0.0
    if IMAGE in row.sides:
        score += row.shares[IMAGE] * (parts.photo or 0.0)
    if TEXT in row.sides:
        score += row.shares[TEXT] * word_score(row, parts, floors)
    if LIKE in row.shares:
        score += row.shares[LIKE] * (parts.like or 0.0)
    if row.examples is not None and parts.unlike is not None:
        score -= row.examples.unlike_weight * max(0.0, parts.unlike)
    return score - parts.negative


def _summed(
    lists: Mapping[str, Sequence[Hit]], value: Callable[[Sequence[Hit]], Sequence[float]]
) -> dict[str, float]:
    """Add up what each search makes of each of its hits; the searches count the same."""
    heard = [hits for name, hits in lists.items() if name in (WORDS, TEXTS, PHOTOS) and hits]
    scores: dict[str, float] = {hit.id: 0.0 for hit in lists.get(IDENTIFIERS, ())}
    for hits in heard:
        for hit, score in zip(hits, value(hits), strict=True):
            scores[hit.id] = scores.get(hit.id, 0.0) + score / len(heard)
    return scores


def _by_rank(found: Found) -> dict[str, float]:
    """Reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009)."""
    # An engine gives equals in any order, and here the order is all that counts.
    lists = {name: sorted(hits, key=lambda hit: (-hit.score, hit.id)) for name, hits in found.lists.items()}
    return _summed(lists, lambda hits: [RRF_K / (RRF_K + rank) for rank in range(1, len(hits) + 1)])


def _by_range(found: Found) -> dict[str, float]:
    """Scores between the least and the greatest of their search."""

    def ranged(hits: Sequence[Hit]) -> list[float]:
        low, high = hits[-1].score, hits[0].score
        return [(hit.score - low) / (high - low) if high > low else 1.0 for hit in hits]

    return _summed(found.lists, ranged)


def _by_distribution(found: Found) -> dict[str, float]:
    """Scores between three deviations below and above the mean of their search, as Qdrant's DBSF."""

    def placed(hits: Sequence[Hit]) -> list[float]:
        mean = sum(hit.score for hit in hits) / len(hits)
        spread = math.sqrt(sum((hit.score - mean) ** 2 for hit in hits) / max(1, len(hits) - 1))
        if spread <= 0:
            return [0.5] * len(hits)
        return [(hit.score - mean) / (2 * DBSF_DEVIATIONS * spread) + 0.5 for hit in hits]

    return _summed(found.lists, placed)


_FUSIONS: Final[Mapping[str, Callable[[Found], dict[str, float]]]] = {
    "minmax": _by_range,
    "dbsf": _by_distribution,
    "rrf": _by_rank,
}
