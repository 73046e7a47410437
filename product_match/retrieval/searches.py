"""What is searched for a row, and what the hits say of each product: its parts, before they become one score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from product_match.contract.encoder import SimilarityScales
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR, WORDS_VECTOR, SparseVector
from product_match.retrieval.composition import composed_vectors, measure, measure_negative, scaled_vector
from product_match.retrieval.rows import IMAGE, TEXT, RowQuery, Vector
from product_match.vectors.vector_index import Hit, VectorQuery

WORDS: Final = "words"
IDENTIFIERS: Final = "identifiers"
NEGATIVES: Final = "negatives"
TEXTS: Final = "texts"
PHOTOS: Final = "photos"

RANKED: Final = frozenset({WORDS, TEXTS, PHOTOS})
"""Searches whose hits are candidates, as deep as a page needs."""

MOST_IDENTIFIED: Final = 10
MOST_NEGATIVE: Final = 1000


@dataclass(frozen=True)
class Search:
    """One search of a row.

    Attributes:
        name: `WORDS`, `IDENTIFIERS`, `TEXTS`, `PHOTOS`, or `NEGATIVES` and a number.
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
        like: Scaled similarity with the products that what is sought is like.
        unlike: With the one that it is unlike which the product is most alike.
        negative: What is taken off its score for what it is not to be like.
        ranks: Its rank in each search that found it, from 1.
    """

    words: float | None = None
    identified: bool = False
    text: float | None = None
    photo: float | None = None
    like: float | None = None
    unlike: float | None = None
    negative: float = 0.0
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
    found += [
        Search(f"{NEGATIVES}/{number}", _negative_query(row, negative.words.vector))
        for number, negative in enumerate(row.negatives)
        if negative.words is not None and negative.words.vector.indices
    ]
    if row.words is None or row.fusion == "vector":
        return found
    if row.words.vector.indices:
        found.append(Search(WORDS, _query(row, WORDS_VECTOR, row.words.vector)))
    if row.words.identifiers is not None:
        query = _query(row, WORDS_VECTOR, row.words.identifiers, limit=MOST_IDENTIFIED)
        found.append(Search(IDENTIFIERS, query))
    return found


def _dense_searches(row: RowQuery, scales: SimilarityScales) -> list[Search]:
    if row.is_composed:
        return [
            Search(PHOTOS if name == IMAGE_VECTOR else TEXTS, _query(row, name, vector), offset)
            for name, (vector, offset) in composed_vectors(row, scales).items()
        ]
    found = []
    if IMAGE in row.sides:
        vector, offset = scaled_vector(row.sides[IMAGE], scales.image_to_image)
        found.append(Search(PHOTOS, _query(row, IMAGE_VECTOR, vector), offset))
    else:
        # Similarities of words with photos and with words share no scale: where a product has words, these count.
        vector, offset = scaled_vector(row.sides[TEXT], scales.text_to_image)
        found.append(Search(PHOTOS, _query(row, IMAGE_VECTOR, vector, lacking=TEXT_VECTOR), offset))
    if TEXT in row.sides:
        vector, offset = scaled_vector(row.sides[TEXT], scales.text_to_text)
        found.append(Search(TEXTS, _query(row, TEXT_VECTOR, vector), offset))
    return found


def _negative_query(row: RowQuery, vector: SparseVector) -> VectorQuery:
    return replace(_query(row, WORDS_VECTOR, vector, limit=MOST_NEGATIVE), with_vectors=False)


def _query(
    row: RowQuery,
    vector_name: str,
    vector: Vector | SparseVector,
    *,
    limit: int | None = None,
    lacking: str | None = None,
) -> VectorQuery:
    return VectorQuery(
        vector_name=vector_name,
        vector=vector,
        limit=limit or row.levels[-1].depth,
        filter=row.filter,
        with_vectors=row.is_composed,
        lacking=lacking,
    )


def gather(
    row: RowQuery, searches: Sequence[Search], answers: Sequence[Sequence[Hit]], scales: SimilarityScales
) -> Found:
    """Return what the hits say of each product."""
    parts: dict[str, Parts] = {}
    floors: dict[str, float] = {}
    named = row.examples.points if row.examples is not None else frozenset()
    for search, hits in zip(searches, answers, strict=True):
        if search.name.startswith(NEGATIVES):
            continue
        for rank, hit in enumerate((hit for hit in hits if hit.id not in named), start=1):
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
        held_vectors = {hit.id: hit.vectors for hits in answers for hit in hits if hit.id in parts and hit.vectors}
        held_words = {
            search.name: {hit.id: hit.score for hit in hits}
            for search, hits in zip(searches, answers, strict=True)
            if search.name.startswith(NEGATIVES)
        }
        measure(row, parts, held_vectors, scales)
        for number, negative in enumerate(row.negatives):
            measure_negative(negative, held_words.get(f"{NEGATIVES}/{number}", {}), parts, held_vectors, scales)
    lists = {
        search.name: [hit for hit in hits if hit.id not in named] if named else hits
        for search, hits in zip(searches, answers, strict=True)
    }
    return Found(parts=parts, floors=floors, lists=lists)
