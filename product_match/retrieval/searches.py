"""What is searched for a row, and what the hits say of each product: its parts, before they become one score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.encoder import SimilarityScale, SimilarityScales
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR, WORDS_VECTOR, SparseVector
from product_match.retrieval.rows import IMAGE, TEXT, RowQuery, Vector
from product_match.vectors.vector_index import Hit, VectorQuery

WORDS: Final = "words"
IDENTIFIERS: Final = "identifiers"
TEXTS: Final = "texts"
PHOTOS: Final = "photos"

LEAST_CANDIDATES: Final = 50
"""Hits of each search of words, and no fewer: a product that is good by one may be far down by another."""

COMPOSED_CANDIDATES: Final = 40
"""The same where photo and words are given, and hits come with their vectors, which takes time."""

COMPOSED_PER_MATCH: Final = 4
MOST_IDENTIFIED: Final = 10


@dataclass(frozen=True)
class Search:
    """One search of a row.

    Attributes:
        name: `WORDS`, `IDENTIFIERS`, `TEXTS` or `PHOTOS`.
        query: What the index is asked.
        offset: What to add to a hit's score.
    """

    name: str
    query: VectorQuery
    offset: float = 0.0


@dataclass(slots=True)
class Parts:
    """What the searches say of one product; None where a search did not find it.

    Attributes:
        words: BM25's score.
        identified: Whether the query is one of its identifiers, or has one.
        text: Scaled similarity of the words with the product's words.
        photo: Scaled similarity of the photo with the product's photos; of the words, for a product without words.
        ranks: Its rank in each search that found it, from 1.
    """

    words: float | None = None
    identified: bool = False
    text: float | None = None
    photo: float | None = None
    ranks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """Everything that was found for a row.

    Attributes:
        parts: By point id.
        floors: The least that a product can have of a part that it was not found by, by the search's name: what the
            last hit has where there may be more, nothing where the search has found all.
        lists: The hits of each search, best first.
    """

    parts: Mapping[str, Parts]
    floors: Mapping[str, float]
    lists: Mapping[str, Sequence[Hit]]


def row_searches(row: RowQuery, scales: SimilarityScales) -> list[Search]:
    """Return what to search for a row."""
    found = _dense_searches(row, scales) if row.fusion != WORDS or row.words is None else []
    if row.words is None or row.fusion == "vector":
        return found
    if row.words.vector.indices:
        found.append(Search(WORDS, _query(row, WORDS_VECTOR, row.words.vector)))
    if row.words.identifiers is not None:
        query = _query(row, WORDS_VECTOR, row.words.identifiers, limit=MOST_IDENTIFIED)
        found.append(Search(IDENTIFIERS, query))
    return found


def _dense_searches(row: RowQuery, scales: SimilarityScales) -> list[Search]:
    found = []
    if row.is_composed:
        vector, offset = _composed_vector(row, scales)
        found.append(Search(PHOTOS, _query(row, IMAGE_VECTOR, vector), offset))
    elif IMAGE in row.sides:
        vector, offset = scaled_vector(row.sides[IMAGE], scales.image_to_image)
        found.append(Search(PHOTOS, _query(row, IMAGE_VECTOR, vector, limit=row.limit), offset))
    else:
        # Similarities of words with photos and with words share no scale: where a product has words, these count.
        vector, offset = scaled_vector(row.sides[TEXT], scales.text_to_image)
        found.append(Search(PHOTOS, _query(row, IMAGE_VECTOR, vector, lacking=TEXT_VECTOR), offset))
    if TEXT in row.sides:
        vector, offset = scaled_vector(row.sides[TEXT], scales.text_to_text)
        found.append(Search(TEXTS, _query(row, TEXT_VECTOR, vector), offset))
    return found


def _query(
    row: RowQuery,
    vector_name: str,
    vector: Vector | SparseVector,
    *,
    limit: int | None = None,
    lacking: str | None = None,
) -> VectorQuery:
    if limit is None and row.is_composed:
        limit = max(COMPOSED_CANDIDATES, COMPOSED_PER_MATCH * row.limit)
    return VectorQuery(
        vector_name=vector_name,
        vector=vector,
        limit=limit or max(LEAST_CANDIDATES, row.limit),
        filter=row.filter,
        with_vectors=row.is_composed,
        lacking=lacking,
    )


def scaled_vector(embeds: Vector, scale: SimilarityScale) -> tuple[Vector, float]:
    """Return a vector and an offset so that dot product plus offset is the similarity on the scale."""
    factor = 1.0 / (scale.match - scale.background)
    return (embeds * np.float32(factor)).astype(np.float32), -factor * scale.background


def _composed_vector(row: RowQuery, scales: SimilarityScales) -> tuple[Vector, float]:
    """Return the vector of photo and words together, by their shares: a linear map keeps the sum exact."""
    photo, photo_offset = scaled_vector(row.sides[IMAGE], scales.image_to_image)
    words, words_offset = scaled_vector(row.sides[TEXT], scales.text_to_image)
    vector = np.float32(row.shares[IMAGE]) * photo + np.float32(row.shares[TEXT]) * words
    return vector, row.shares[IMAGE] * photo_offset + row.shares[TEXT] * words_offset


def gather(
    row: RowQuery, searches: Sequence[Search], answers: Sequence[Sequence[Hit]], scales: SimilarityScales
) -> Found:
    """Return what the hits say of each product."""
    parts: dict[str, Parts] = {}
    floors: dict[str, float] = {}
    for search, hits in zip(searches, answers, strict=True):
        for rank, hit in enumerate(hits, start=1):
            held = parts.setdefault(hit.id, Parts())
            held.ranks[search.name] = rank
            if search.name == WORDS:
                held.words = hit.score
            elif search.name == IDENTIFIERS:
                held.identified = True
            elif not row.is_composed:
                setattr(held, "text" if search.name == TEXTS else "photo", hit.score + search.offset)
        if len(hits) >= search.query.limit:
            floors[search.name] = hits[-1].score + search.offset
    if row.is_composed:
        _measure(row, parts, answers, scales)
    lists = {search.name: hits for search, hits in zip(searches, answers, strict=True)}
    return Found(parts=parts, floors=floors, lists=lists)


def _measure(
    row: RowQuery, parts: Mapping[str, Parts], answers: Sequence[Sequence[Hit]], scales: SimilarityScales
) -> None:
    """Compare photo and words with the vectors of every product that was found."""
    vectors = {hit.id: hit.vectors for hits in answers for hit in hits if hit.vectors}
    photo_to_photo = _best(vectors, IMAGE_VECTOR, row.sides[IMAGE], scales.image_to_image)
    photo_to_words = _best(vectors, TEXT_VECTOR, row.sides[IMAGE], scales.image_to_text)
    words_to_photo = _best(vectors, IMAGE_VECTOR, row.sides[TEXT], scales.text_to_image)
    words_to_words = _best(vectors, TEXT_VECTOR, row.sides[TEXT], scales.text_to_text)
    for id_, held in parts.items():
        held.photo = photo_to_photo.get(id_, photo_to_words.get(id_))
        both = [similarity[id_] for similarity in (words_to_photo, words_to_words) if id_ in similarity]
        held.text = max(both, default=None)


def _best(
    held: Mapping[str, Mapping[str, NDArray[np.float32]]], vector_name: str, embeds: Vector, scale: SimilarityScale
) -> dict[str, float]:
    """Return the best scaled similarity of `embeds` with each product's vectors of one name."""
    having = {id_: np.atleast_2d(vectors[vector_name]) for id_, vectors in held.items() if vector_name in vectors}
    if not having:
        return {}
    counts = [len(rows) for rows in having.values()]
    similarities = (np.concatenate(list(having.values())) @ embeds - scale.background) / (
        scale.match - scale.background
    )
    best = np.maximum.reduceat(similarities, np.cumsum([0, *counts[:-1]]))
    return dict(zip(having, best.tolist(), strict=True))
