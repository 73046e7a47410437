"""The options of a match, generated from the contract by `ensemble-builder contract --write`. Do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict


class MatchOptions(TypedDict, total=False):
    """What `match` and `match_batch` take beside the query; None, or nothing, is the server's default.

    Attributes:
        top_k: How many matches to return; 1 to 1,000.
        offset: How many of the best matches to pass over: with `top_k` 10, 10 is the second page; 0 to 999.
        fields: Product fields to return, comma separated; `-` for none.
        filter: Only products that fit, such as {"category": "Shoes", "price": {"lte": 50}}.
        min_score: Leave out matches that score less; -10 to 10.
        min_confidence: Leave out matches that a person would less probably accept; 0 to 1.
        image_weight: Weight of the photo where photo and words are given; 0 to 1,000.
        text_weight: Weight of the words where photo and words are given; 0 to 1,000.
        like: Ids of products that what is sought is like, with or without photo and words; they do not answer.
        unlike: Ids of products that what is sought is unlike; they do not answer either.
        like_weight: Weight of `like` beside those of photo and words; 0 to 1,000.
        unlike_weight: How much of the likeness to `unlike` is taken off a score; 0 to 1,000.
        compose: The rows of the request are the terms of one query; its answer is in the first row.
        weights: With `compose`, the weight of each term, such as 1,0.5,-0.5; what is below 0 is not to be like it;
            -1,000 to 1,000.
        fusion: How exact words and vectors become one ranking; `words` and `vector` are each alone.
        facets: Fields whose values to count among the products that fit, such as category,brand.
        sort: Fields to sort what fits by, comma separated, `-price` for the dearest first.
        person: A key of your own for who asks, such as a customer's number: what is kept can be removed by it.
        boost: What to show higher, or lower, such as [{"filter": {"brand": "Acme"}, "by": 0.2}].
        at_most: How many of each value of a field to show, such as {"brand": 2}.
        group_by: A field whose equals are shown as variants inside the best of them.
        collapse: The cosine of photos from which products are the same, and only the best of them is shown; 0.5 to 1.
        diversity: How much to prefer what is unlike the matches before it (MMR); 0 not at all; 0 to 1.
        explain: Say of each match why it is where it is, and how long each stage took.
    """

    top_k: int | None
    offset: int | None
    fields: Sequence[str] | None
    filter: Mapping[str, Any] | None
    min_score: float | None
    min_confidence: float | None
    image_weight: float | None
    text_weight: float | None
    like: Sequence[str] | None
    unlike: Sequence[str] | None
    like_weight: float | None
    unlike_weight: float | None
    compose: bool | None
    weights: Sequence[float] | None
    fusion: Literal["calibrated", "minmax", "dbsf", "rrf", "words", "vector"] | None
    facets: Sequence[str] | None
    sort: Sequence[str] | None
    person: str | None
    boost: Sequence[Mapping[str, Any]] | None
    at_most: Mapping[str, Any] | None
    group_by: Sequence[str] | None
    collapse: float | None
    diversity: float | None
    explain: bool | None
