"""From one row of a request to what has to be searched for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.contract.filters import ProductFilter, read_filter
from product_match.contract.models import IMAGE_GIVEN, QUERY_TEXT, TEXT_GIVEN
from product_match.contract.options import FUSIONS
from product_match.retrieval.examples import Examples, read_examples
from product_match.retrieval.shape import Shape, read_shape
from product_match.triton.batches import BatchRequest
from product_match.words.queries import WordQuery
from product_match.words.reading import QueryReader

IMAGE: Final = "image"
TEXT: Final = "text"
LIKE: Final = "like"

SIDE_WEIGHT: Final = 0.5

Vector = NDArray[np.float32]


WORDS_LEVELS: Final = ((50, 45), (120, 100), (300, 260), (1250, 1101))
"""Hits of each search, and the ranks that they are good for: a product that is good by one search may be far down by
another."""

COMPOSED_LEVELS: Final = ((48, 12), (200, 50), (880, 220), (4404, 1101))
"""The same where several things are asked for: a product that is fair by all of them may be far down by each. Hits
come with their vectors then, which takes time."""

POOL: Final = WORDS_LEVELS[1][1]
"""Ranks that are looked at, at most, to shape an answer."""

COMPOSED_POOL: Final = COMPOSED_LEVELS[1][1]

WEAK_FROM: Final = 0.2
"""Confidence from which a match is weak rather than none."""


@dataclass(frozen=True)
class Level:
    """One depth of the searches.

    Attributes:
        depth: Hits of each search.
        ranks: How many ranks these are good for.
    """

    depth: int
    ranks: int


@dataclass(frozen=True)
class Negative:
    """What is sought is not to be like this.

    Attributes:
        weight: How much of the likeness is taken off a score; above 0.
        sides: As those of a query.
        words: The words as they are looked up; None where none came.
    """

    weight: float
    sides: Mapping[str, Vector]
    words: WordQuery | None


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
        offset: How many of the best matches are passed over.
        shape: How the answer is to be shaped; None where it is not.
        negatives: What it is not to be like.
        rules: Ids of the shop's rules that shape its answer.
        options: What the request gave, by name.
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
    offset: int = 0
    shape: Shape | None = None
    negatives: tuple[Negative, ...] = ()
    rules: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def page_limit(self) -> int:
        """Products of the page and before it: a few more, as a product may have been deleted since it was indexed."""
        wanted = self.offset + self.top_k
        return wanted + wanted // 10 + 1

    @property
    def limit(self) -> int:
        """Products to rank."""
        if self.shape is None:
            return self.page_limit
        return self.pool if self.shape.reorders else max(self.pool, self.page_limit)

    @property
    def pool(self) -> int:
        """Ranks that are looked at to shape the answer."""
        return COMPOSED_POOL if self.is_composed else POOL

    @property
    def least_confidence(self) -> float:
        """What a product needs to be in the confident set."""
        return WEAK_FROM if self.min_confidence is None else self.min_confidence

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The depths of the searches, the least first, as far as the ranks that are wanted."""
        if TEXT not in self.sides and not self.is_composed:
            # One search, whose hits are ranked as they come: it may be as deep as it is wanted.
            return (Level(self.limit, self.limit),)
        levels = [Level(*level) for level in (COMPOSED_LEVELS if self.is_composed else WORDS_LEVELS)]
        enough = next((n for n, level in enumerate(levels) if level.ranks >= self.limit), len(levels) - 1)
        return tuple(Level(level.depth + self.named, level.ranks) for level in levels[: enough + 1])

    @property
    def named(self) -> int:
        """Products that are named, and so are no answers."""
        return len(self.examples.points) if self.examples is not None else 0

    @property
    def is_shelf(self) -> bool:
        """Whether nothing is searched for: what a filter fits is browsed."""
        return not self.sides and (self.examples is None or not self.examples.like)

    @property
    def is_composed(self) -> bool:
        """Whether vectors of what is found have to be measured: more is given than a photo, or words."""
        return len(self.sides) > 1 or self.examples is not None or bool(self.negatives)


def read_row(request: BatchRequest, row: int, reader: QueryReader) -> RowQuery:
    """Read one row of a request.

    Raises:
        InvalidRequestError: Neither photo nor words nor products came, all weigh nothing, or an option is wrong.
    """
    options = request.parameters
    examples = read_examples(options)
    sides = _given_sides(request, row)
    shares = _shares(sides, examples, options, row)
    top_k, offset = _window(options)
    shape = read_shape(options, browsing=not shares)
    heard = {side: embeds for side, embeds in sides.items() if shares[side] > 0}
    text = _text(request, row) if TEXT in heard else ""
    return RowQuery(
        query_id=request.name if request.rows == 1 else f"{request.name}/{row}",
        sides=heard,
        shares={side: share for side, share in shares.items() if share > 0},
        examples=examples,
        shape=shape,
        text=text,
        words=reader.read(text) if text else None,
        top_k=top_k,
        offset=offset,
        fields=options.get("fields"),
        filter=read_filter(options.get("filter")),
        min_score=options.get("min_score"),
        min_confidence=options.get("min_confidence"),
        fusion=options.get("fusion", FUSIONS[0]),
        explain=options.get("explain", False),
        options=options,
    )


def _window(options: Mapping[str, Any]) -> tuple[int, int]:
    top_k, offset = options.get("top_k", limits.DEFAULT_TOP_K), options.get("offset", 0)
    if offset + top_k > limits.MAX_TOP_K:
        raise InvalidRequestError(
            f"offset {offset} and top_k {top_k} reach past match {limits.MAX_TOP_K:,}, the last that can be had; "
            "narrow the query with a filter"
        )
    return top_k, offset


def _shares(
    sides: Mapping[str, Vector], examples: Examples | None, options: Mapping[str, Any], row: int
) -> dict[str, float]:
    weights = {side: options.get(f"{side}_weight", SIDE_WEIGHT) for side in sides}
    if examples is not None and examples.like:
        weights[LIKE] = examples.like_weight
    if not weights and (options.get("filter") or options.get("sort")):
        return {}
    if not weights:
        raise InvalidRequestError(
            f"row {row}: no photo and no words came (0 bytes); "
            "send `image_bytes`, `query_text`, or both; or products that it is `like`; or a `filter` to browse"
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
