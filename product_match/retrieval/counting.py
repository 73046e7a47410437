"""Counts answers, for the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from product_match.contract.metrics import BROWSE, KINDS, LIKE, OUTCOMES, PHOTO, PHOTO_AND_WORDS, WORDS
from product_match.retrieval.answers import Answered, Timings
from product_match.retrieval.rows import TEXT, RowQuery
from product_match.telemetry.meters import ANSWER_CONFIDENCE, ANSWER_RESULTS, ANSWERS, STAGE_DURATION

_ANSWERS: Final = {(kind, outcome): ANSWERS.labels(kind, outcome) for kind in KINDS for outcome in OUTCOMES}
_STAGES: Final = {
    stage: STAGE_DURATION.labels(stage) for stage in ("search", "rank", "join", "assess", "wider", "shape", "browse")
}


def kind_of(row: RowQuery) -> str:
    """Return what a query is made of; one that names products is `LIKE`, whatever else it has."""
    if row.is_shelf:
        return BROWSE
    if row.examples is not None:
        return LIKE
    if row.is_composed:
        return PHOTO_AND_WORDS
    return WORDS if TEXT in row.sides else PHOTO


def count_answers(answered: Sequence[Answered], timings: Timings) -> None:
    """Count the answers of a batch: what each is, how sure of its first match, how many it shows; and its stages."""
    for one in answered:
        _ANSWERS[kind_of(one.row), one.outcome].inc()
        if not one.row.is_shelf:
            ANSWER_CONFIDENCE.observe(one.matches[0].assessment.confidence if one.matches else 0.0)
        ANSWER_RESULTS.observe(len(one.matches))
    for stage, milliseconds in timings.milliseconds.items():
        _STAGES[stage].observe(milliseconds / 1000)
