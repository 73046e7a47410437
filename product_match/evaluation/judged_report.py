"""From judged queries and a server's answers to figures: quality by kind, confidence, and false matches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from .calibration import brier_score, expected_calibration_error, reliability
from .false_matches import (
    NO_MATCH,
    FirstMatches,
    Point,
    curve,
    false_matches_that_keep,
    point_at,
    threshold_that_keeps,
)
from .graded_measures import graded_measures
from .judged_queries import JudgedQuery, Side
from .metrics import bootstrap_interval, estimate
from .runs import QueryAnswer, Run

MATCHED: Final = "matched"
HITS_KEPT: Final = 0.9
OTHER_RATES: Final = (0.5, 0.95)
"""Shares of queries that are not carried for which precision is given beside the file's own."""
EVERYTHING: Final = "all"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A query with its answer."""

    query: JudgedQuery
    answer: QueryAnswer

    @property
    def right(self) -> bool:
        """Whether the first match is accepted."""
        return bool(self.answer.found) and self.answer.found[0].product_id in self.query.accept


def judged(queries: Iterable[JudgedQuery], run: Run) -> list[Judged]:
    """Put queries beside their answers; those that the run does not have are left out."""
    return [Judged(query=query, answer=run.answers[query.id]) for query in queries if query.id in run.answers]


def by_kind(rows: Sequence[Judged]) -> dict[str, list[Judged]]:
    """Return the rows of each kind, in the order of the file."""
    kinds: dict[str, list[Judged]] = {}
    for row in rows:
        kinds.setdefault(row.query.kind, []).append(row)
    return kinds


def by_side(rows: Sequence[Judged]) -> dict[str, list[Judged]]:
    """Return the rows of each side that has some, and all of them."""
    sides = {side.value: [row for row in rows if row.query.side is side] for side in Side}
    return {**{side: found for side, found in sides.items() if found}, EVERYTHING: list(rows)}


def quality(rows: Sequence[Judged], depth: int) -> dict[str, Any]:
    """Measure some queries.

    Returns:
        How many there are; the measures of those that are carried, `matched` (the share of them that come back as
        such), and `false_matches` (the share of the others that do), each with its interval where there is one
        query or more; outcomes, and how many queries were refused and repaired.
    """
    carried = [row for row in rows if row.query.carried]
    others = [row for row in rows if not row.query.carried]
    report: dict[str, Any] = {"queries": len(rows), "carried": len(carried)}
    for name, values in measures_of(carried, depth).items():
        report[name] = _estimated(values, carried)
    for name, part in (("matched", carried), ("false_matches", others)):
        if part and any(row.answer.outcome for row in part):
            report[name] = _estimated([float(row.answer.outcome == MATCHED) for row in part], part)
    report["outcomes"] = dict(Counter(row.answer.outcome for row in rows if row.answer.outcome))
    report["refused"] = sum(row.answer.refused is not None for row in rows)
    report["repaired"] = sum(bool(row.answer.repaired) for row in rows)
    return report


def measures_of(rows: Sequence[Judged], depth: int) -> dict[str, list[float]]:
    """Return the figures of carried queries by measure; nothing where there are none."""
    each = [graded_measures(row.answer.ranked, row.query.accept, depth) for row in rows]
    return {name: [figures[name] for figures in each] for name in (each[0] if each else ())}


def confidence_report(rows: Sequence[Judged]) -> dict[str, Any] | None:
    """Say how far the confidence of first matches can be believed, not carried queries included.

    Returns:
        None where no match has a confidence.
    """
    first = [(row, row.answer.found[0].confidence) for row in rows if row.answer.found]
    stated = np.array([confidence for _, confidence in first if confidence is not None])
    right = np.array([row.right for row, confidence in first if confidence is not None])
    groups = [row.query.group for row, confidence in first if confidence is not None]
    if not stated.size:
        return None
    low, high = bootstrap_interval(lambda drawn: expected_calibration_error(stated[drawn], right[drawn]), groups)
    every = [
        (match.confidence, match.product_id in row.query.accept)
        for row in rows
        for match in row.answer.found
        if match.confidence is not None
    ]
    of_every = expected_calibration_error([stated for stated, _ in every], [accepted for _, accepted in every])
    return {
        "answers": len(stated),
        "mean_confidence": round(float(stated.mean()), 4),
        "accepted": round(float(right.mean()), 4),
        "expected_calibration_error": {
            "value": round(expected_calibration_error(stated, right), 4),
            "low": round(low, 4),
            "high": round(high, 4),
        },
        "brier_score": round(brier_score(stated, right), 4),
        "expected_calibration_error_of_every_match": round(of_every, 4),
        "bins": [
            {name: round(value, 4) for name, value in asdict(part).items()} for part in reliability(stated, right)
        ],
    }


def false_match_report(rows: Sequence[Judged], vector_rows: Sequence[Judged]) -> dict[str, Any] | None:
    """Weigh false matches against hits, for thresholds on what an answer says of its first match.

    Args:
        rows: Queries and answers.
        vector_rows: The same queries answered by one vector alone: what a flat threshold on its score does.

    Returns:
        None where not both carried and other queries are among them.
    """
    carried = sum(row.query.carried for row in rows)
    if carried in (0, len(rows)):
        return None
    not_carried = 1 - carried / len(rows)
    signals = {"confidence": (rows, True), "score": (rows, False), "vector_score": (vector_rows, False)}
    each = {name: _signal_report(part, confident, not_carried) for name, (part, confident) in signals.items()}
    found = {name: figures for name, figures in each.items() if figures}
    report: dict[str, Any] = {"queries": len(rows), "not_carried": round(not_carried, 4), "signals": found}
    if any(row.answer.outcome for row in rows):
        matched = FirstMatches.of(
            (float(row.answer.outcome == MATCHED), row.query.carried, row.right) for row in rows
        )
        point = point_at(matched, 1.0)
        report["outcome"] = {
            **_point_json(point, not_carried),
            "threshold": None,
            "hits_kept": round(point.hits / max(float(matched.right.sum() / carried), 1e-12), 4),
        }
    return report


def _signal_report(rows: Sequence[Judged], confident: bool, not_carried: float) -> dict[str, Any] | None:
    signals = [(_signal(row.answer, confident), row.query.carried, row.right) for row in rows]
    if all(signal == NO_MATCH for signal, *_ in signals) or len({carried for _, carried, _ in signals}) < 2:
        return None
    matches = FirstMatches.of(signals)
    if not matches.right.any():
        return None
    low, high = bootstrap_interval(
        lambda drawn: false_matches_that_keep(matches.draw(drawn), HITS_KEPT), [row.query.group for row in rows]
    )
    point = point_at(matches, threshold_that_keeps(matches, HITS_KEPT))
    return {
        "at_90_percent_of_hits": {
            **_point_json(point, not_carried),
            "false_matches_low": round(low, 4),
            "false_matches_high": round(high, 4),
        },
        "curve": [_point_json(point, not_carried) for point in curve(matches)],
    }


def _signal(answer: QueryAnswer, confident: bool) -> float:
    if not answer.found:
        return NO_MATCH
    first = answer.found[0]
    if not confident:
        return first.score
    return NO_MATCH if first.confidence is None else first.confidence


def _point_json(point: Point, not_carried: float) -> dict[str, Any]:
    precisions = {"precision": not_carried, **{f"precision_if_{rate:g}_not_carried": rate for rate in OTHER_RATES}}
    figures: dict[str, float | None] = {
        "threshold": point.threshold if math.isfinite(point.threshold) else None,
        "hits": point.hits,
        "wrong": point.wrong,
        "false_matches": point.false_matches,
        **{name: point.precision(rate) for name, rate in precisions.items()},
    }
    return {name: None if value is None else round(value, 4) for name, value in figures.items()}


def _estimated(values: Sequence[float], rows: Sequence[Judged]) -> Mapping[str, float]:
    return estimate(values, groups=[row.query.group for row in rows]).as_json()
