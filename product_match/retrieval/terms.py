"""The rows of one request as the terms of one query: several photos and several texts, with weights, some negative.

Similarities are linear in the query's vector: the mean of several vectors, not of unit length, is as similar to a
product as they are in the mean. So all photos are one side of a query, and all words another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.retrieval.rows import IMAGE, LIKE, SIDE_WEIGHT, TEXT, Negative, RowQuery
from product_match.words.reading import QueryReader


def check_terms(options: Mapping[str, Any], rows: int) -> None:
    """Check what the options say of terms.

    Raises:
        InvalidRequestError: Weights without terms, of another number, or more terms than the limit.
    """
    weights = options.get("weights")
    if not options.get("compose"):
        if weights is not None:
            raise InvalidRequestError("weights: these are of the terms of one query; give `compose` too")
        return
    if rows > limits.MAX_TERMS:
        raise InvalidRequestError(f"compose: {rows} terms, the limit is {limits.MAX_TERMS}; leave out the least")
    if weights is not None and len(weights) != rows:
        raise InvalidRequestError(f"weights: {len(weights)} came for {rows} terms; give one for each row")


def composed(rows: Sequence[RowQuery], name: str, options: Mapping[str, Any], reader: QueryReader) -> RowQuery:
    """Return the one query whose terms rows are.

    Args:
        rows: One for each term.
        name: Of the query.
        options: Of the request, which `check_terms` has checked.
        reader: Reads words.

    Raises:
        InvalidRequestError: Nothing is asked for: no weight is above 0.
    """
    terms = list(zip(options.get("weights") or (1.0,) * len(rows), rows, strict=True))
    sides = {}
    totals = {}
    for side in (IMAGE, TEXT):
        parts = [(weight, row.sides[side]) for weight, row in terms if weight > 0 and side in row.sides]
        if parts:
            total = sum(weight for weight, _ in parts)
            mean = np.sum([weight / total * vector for weight, vector in parts], axis=0)
            sides[side] = mean.astype(np.float32)
            totals[side] = total * options.get(f"{side}_weight", SIDE_WEIGHT)
    examples = rows[0].examples
    if examples is not None and examples.like:
        totals[LIKE] = examples.like_weight
    whole = sum(totals.values())
    if whole <= 0:
        raise InvalidRequestError("weights: none is above 0, so nothing is asked for; give at least one term more")
    text = " ".join(row.text for weight, row in terms if weight > 0 and row.text)
    return replace(
        rows[0],
        query_id=name,
        sides=sides,
        shares={side: total / whole for side, total in totals.items() if total > 0},
        text=text,
        words=reader.read(text) if text else None,
        negatives=tuple(Negative(-weight, row.sides, row.words) for weight, row in terms if weight < 0),
    )
