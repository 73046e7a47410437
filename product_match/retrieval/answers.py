"""The JSON of an answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import orjson

from product_match.index.product_cache import StoredProduct
from product_match.retrieval.rows import RowQuery
from product_match.retrieval.searches import Parts
from product_match.telemetry.stages import note_stage
from product_match.words.evidence import WordEvidence

_DIGITS = 6
_FEW_DIGITS = 4


class Thought(Protocol):
    """What is thought of a match, as `confidence.Assessment` has it."""

    @property
    def confidence(self) -> float:
        """The probability that a person would accept it."""

    @property
    def words(self) -> WordEvidence | None:
        """What it has of the query's words."""


@dataclass(frozen=True)
class Match:
    """One match, ready to be shown.

    Attributes:
        product: The product.
        score: Of the match.
        assessment: What is thought of it.
        parts: What the searches said of it.
        variants: The others of its group.
        duplicates: Ids of products that are the same.
        notes: What was done to it when the answer was shaped, for who asks why.
    """

    product: StoredProduct
    score: float
    assessment: Thought
    parts: Parts
    variants: tuple[Match, ...] = ()
    duplicates: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def noted(self, **notes: Any) -> Match:
        """Return the match with notes on what was done to it."""
        return replace(self, notes={**self.notes, **notes})

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """The product's fields."""
        held: Mapping[str, Any] = orjson.loads(self.product.json)
        return held

    def to_json(self, place: int, fields: tuple[str, ...] | None, *, explain: bool = False) -> dict[str, Any]:
        """Return the match as JSON values; `place` is its rank, from 1."""
        shown: dict[str, Any] = {
            "rank": place,
            "product_id": self.product.product_id,
            "score": round(self.score, _DIGITS),
            "confidence": round(self.assessment.confidence, _FEW_DIGITS),
            "product": _selected(self.product, fields),
        }
        if self.variants:
            shown["variants"] = [variant._inside(fields) for variant in self.variants]
        if self.duplicates:
            shown["duplicates"] = list(self.duplicates)
        return {**shown, "explain": self._explained()} if explain else shown

    def _inside(self, fields: tuple[str, ...] | None) -> dict[str, Any]:
        return {name: value for name, value in self.to_json(0, fields).items() if name != "rank"}

    def _explained(self) -> dict[str, Any]:
        parts = self.parts
        similarity = {"text": parts.text, "photo": parts.photo, "exact_words": parts.words}
        similarity |= {"like": parts.like, "unlike": parts.unlike}
        if parts.negative:
            similarity["negatives"] = parts.negative
        explained: dict[str, Any] = {
            "similarity": {
                name: round(value, _FEW_DIGITS) for name, value in similarity.items() if value is not None
            },
            "ranks": dict(self.parts.ranks),
        }
        if self.notes:
            explained["shape"] = dict(self.notes)
        words = self.assessment.words
        if words is not None:
            explained["words"] = {name: round(value, _FEW_DIGITS) for name, value in asdict(words).items()}
        return explained


class Timings:
    """How long the stages of a batch took."""

    def __init__(self) -> None:
        """Begin now."""
        self._last = time.perf_counter()
        self.milliseconds: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        """Note that a stage has ended, or one more part of it."""
        now = time.perf_counter()
        self.milliseconds[stage] = round(self.milliseconds.get(stage, 0.0) + (now - self._last) * 1000, 3)
        note_stage(stage, now - self._last)
        self._last = now


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What is answered to one row.

    Attributes:
        row: The row.
        outcome: One of those of `confidence`.
        matches: What is shown, best first.
        would_match: What would match with fewer filters.
        facets: What was counted; None where nothing was to be.
        total: How many products there are in all; None where that is not known.
    """

    row: RowQuery
    outcome: str
    matches: Sequence[Match]
    would_match: Sequence[dict[str, Any]] = ()
    facets: Mapping[str, Any] | None = None
    total: int | None = None


class Recorder(Protocol):
    """Takes note of answers, and gives each the token that its feedback comes back with."""

    def __call__(self, encoder: str, answered: Sequence[Answered], timings: Timings) -> Sequence[str | None]:
        """Note the answers of a batch; return the token of each, None for none."""


def answer_json(encoder: str, answered: Answered, timings: Timings, token: str | None) -> bytes:
    """Return the document that answers one row."""
    row, matches, would_match = answered.row, answered.matches, answered.would_match
    answer: dict[str, Any] = {"query_id": row.query_id, "encoder": encoder, "outcome": answered.outcome}
    if token is not None:
        answer["feedback_token"] = token
    if row.words is not None and row.words.repaired:
        answer["repaired"] = dict(row.words.repaired)
    answer["matches"] = [
        match.to_json(place, row.fields, explain=row.explain)
        for place, match in enumerate(matches, start=row.offset + 1)
    ]
    if answered.total is not None:
        answer["total"] = answered.total
    if answered.facets is not None:
        answer["facets"] = answered.facets
    if would_match:
        answer["would_match"] = list(would_match)
    if row.explain:
        answer["milliseconds"] = timings.milliseconds
    return orjson.dumps(answer)


def term_json(encoder: str, name: str, number: int) -> bytes:
    """Return the document of a row that is a term of the query in the first row."""
    query_id = f"{name}/{number}"
    return orjson.dumps({"query_id": query_id, "encoder": encoder, "composed_into": name, "matches": []})


def _selected(product: StoredProduct, fields: tuple[str, ...] | None) -> orjson.Fragment | dict[str, Any]:
    if fields is None:
        return orjson.Fragment(product.json)
    held = orjson.loads(product.json) if fields else {}
    return {name: held[name] for name in fields if name in held}
