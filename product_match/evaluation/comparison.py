"""Two runs of the same judged queries, query by query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from .graded_measures import NDCG_DEPTH
from .judged_queries import JudgedQuery
from .judged_report import MATCHED, Judged, by_kind, by_side, judged, measures_of
from .metrics import estimate
from .runs import Run

DECIDES: Final = f"ndcg@{NDCG_DEPTH}"
"""The measure by which one answer is better than another."""


def compared(queries: Sequence[JudgedQuery], here: Run, there: Run) -> dict[str, Any]:
    """Compare two runs on the queries that both answered and that ask for the same.

    Returns:
        For each kind and side: how many queries, each measure here and there, and the mean of its paired
        differences (here less there) with a 95% interval; how many queries are better, worse and equal by nDCG. And
        which queries were left out.
    """
    same = [
        query
        for query in queries
        if query.id in here.answers and there.digests.get(query.id) == here.digests[query.id]
    ]
    depth = min(here.depth, there.depth)
    kept = {query.id for query in same}
    left_out = [query.id for query in queries if query.id in here.answers.keys() - kept]
    report: dict[str, Any] = {"compared": len(same), "left_out": left_out}
    for name, parts in (("kinds", by_kind), ("sides", by_side)):
        report[name] = _by_part(parts, judged(same, here), judged(same, there), depth)
    return report


def _by_part(
    parts: Callable[[Sequence[Judged]], dict[str, list[Judged]]],
    here: Sequence[Judged],
    there: Sequence[Judged],
    depth: int,
) -> dict[str, Any]:
    others = parts(there)
    return {part: _differences(rows, others[part], depth) for part, rows in parts(here).items() if rows}


def _differences(here: Sequence[Judged], there: Sequence[Judged], depth: int) -> dict[str, Any]:
    report: dict[str, Any] = {"queries": len(here)}
    sides = [[row for row in rows if row.query.carried] for rows in (here, there)]
    ours, theirs = (measures_of(rows, depth) for rows in sides)
    groups = [row.query.group for row in sides[0]]
    for name in ours:
        report[name] = _paired(ours[name], theirs[name], groups)
    if ours:
        pairs = list(zip(ours[DECIDES], theirs[DECIDES], strict=True))
        better, worse = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
        report |= {"better": better, "worse": worse, "equal": len(pairs) - better - worse}
    others = [[row for row in rows if not row.query.carried] for rows in (here, there)]
    if others[0] and all(any(row.answer.outcome for row in rows) for rows in others):
        false, theirs_false = ([float(row.answer.outcome == MATCHED) for row in rows] for rows in others)
        report["false_matches"] = _paired(false, theirs_false, [row.query.group for row in others[0]])
    return report


def _paired(here: Sequence[float], there: Sequence[float], groups: Sequence[str]) -> dict[str, Any]:
    differences = [a - b for a, b in zip(here, there, strict=True)]
    return {
        "here": round(sum(here) / len(here), 4),
        "there": round(sum(there) / len(there), 4),
        "difference": estimate(differences, groups=groups).as_json(),
    }
