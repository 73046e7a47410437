"""From one row of a request to what has to be searched for it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.contract.filters import ProductFilter, read_filter
from product_match.contract.models import IMAGE_GIVEN, QUERY_TEXT, TEXT_GIVEN
from product_match.contract.options import FUSIONS
from product_match.retrieval.examples import Examples, read_examples
from product_match.triton.batches import BatchRequest
from product_match.words.queries import QueryReader, WordQuery

IMAGE: Final = "image"
TEXT: Final = "text"
LIKE: Final = "like"

SIDE_WEIGHT: Final = 0.5

Vector = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class RowQuery:
    """One row of a request, ready to search.

    Attributes:
        query_id: Names the answer.
        sides: `IMAGE` and/or `TEXT` to that side's embedding, [D] float32, norm 1.
        shares: The share of each side, and of the products that it is `LIKE`, in the score; they add up to 1.
        text: The words as they were typed; empty where none came.
        words: The words as they are looked up; None where none came.
        top_k: How many matches are wanted.
        fields: Which fields of a product to return; None for all.
        filter: Which products may answer; None for all.
        min_score: Least score of a match; None for any.
        min_confidence: Least confidence of a match; None for any.
        fusion: One of `FUSIONS`.
        explain: Whether the answer says why.
        examples: Products that it is like and unlike; None where it names none.
    """

    query_id: str
    sides: Mapping[str, Vector]
    shares: Mapping[str, float]
    text: str
    words: WordQuery | None
    top_k: int
    fields: tuple[str, ...] | None
    filter: ProductFilter | None
    min_score: float | None
    min_confidence: float | None
    fusion: str
    explain: bool
    examples: Examples | None = None

    @property
    def limit(self) -> int:
        """Products to rank: a few more than wanted, as a product may have been deleted since it was indexed."""
        return self.top_k + self.top_k // 10 + 1

    @property
    def named(self) -> int:
        """Products that are named, and so are no answers."""
        return len(self.examples.points) if self.examples is not None else 0

    @property
    def is_composed(self) -> bool:
        """Whether more than one thing is given, or a product: vectors of what is found have to be measured then."""
        return len(self.sides) > 1 or self.examples is not None


def read_row(request: BatchRequest, row: int, reader: QueryReader) -> RowQuery:
    """Read one row of a request.

    Raises:
        InvalidRequestError: Neither photo nor words nor products came, all weigh nothing, or an option is wrong.
    """
    options = request.parameters
    examples = read_examples(options)
    sides = _given_sides(request, row)
    shares = _shares(sides, examples, options, row)
    heard = {side: embeds for side, embeds in sides.items() if shares[side] > 0}
    text = _text(request, row) if TEXT in heard else ""
    name = request.request_id or uuid.uuid4().hex
    return RowQuery(
        query_id=name if request.rows == 1 else f"{name}/{row}",
        sides=heard,
        shares={side: share for side, share in shares.items() if share > 0},
        examples=examples,
        text=text,
        words=reader.read(text) if text else None,
        top_k=options.get("top_k", limits.DEFAULT_TOP_K),
        fields=options.get("fields"),
        filter=read_filter(options.get("filter")),
        min_score=options.get("min_score"),
        min_confidence=options.get("min_confidence"),
        fusion=options.get("fusion", FUSIONS[0]),
        explain=options.get("explain", False),
    )


def _shares(
    sides: Mapping[str, Vector], examples: Examples | None, options: Mapping[str, Any], row: int
) -> dict[str, float]:
    weights = {side: options.get(f"{side}_weight", SIDE_WEIGHT) for side in sides}
    if examples is not None and examples.like:
        weights[LIKE] = examples.like_weight
    if not weights:
        raise InvalidRequestError(
            f"row {row}: no photo and no words came (0 bytes); "
            "send `image_bytes`, `query_text`, or both; or products that it is `like`"
        )
    if len(weights) == 1:
        return dict.fromkeys(weights, 1.0)
    total = sum(weights.values())
    if total <= 0:
        names = [f"{side}_weight" for side in weights]
        said = f"{', '.join(names[:-1])} and {names[-1]}: {'both' if len(names) == 2 else 'all'} are 0"
        raise InvalidRequestError(f"{said}; give at least one of them more")
    return {side: weight / total for side, weight in weights.items()}


def _given_sides(request: BatchRequest, row: int) -> dict[str, Vector]:
    sides = {}
    for side, given in ((IMAGE, IMAGE_GIVEN.name), (TEXT, TEXT_GIVEN.name)):
        embeds = request.tensors.get(f"{side}_embeds")
        flags = request.tensors.get(given)
        if embeds is not None and (flags is None or flags[row, 0]):
            if not np.isfinite(embeds[row]).all():
                raise InvalidRequestError(f"{side}_embeds: row {row} holds NaN or infinity; send finite numbers")
            sides[side] = embeds[row]
    return sides


def _text(request: BatchRequest, row: int) -> str:
    """Return the words of a row, which were checked when they were tokenised; empty where only their vector came."""
    column = request.tensors.get(QUERY_TEXT.name)
    return "" if column is None else bytes(column[row, 0]).decode("utf-8", "replace")
