"""The fault table, for people, and the same as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.faults.schedule import FaultKind
from benchmarks.faults.trial import Trial

HEADINGS: Final = (
    "killed",
    "signal",
    "runs",
    "products stored at the kill",
    "client still at work",
    "what a person does",
    "lost",
    "duplicated",
    "left pending",
    "wrong",
    "not finished",
    "seconds until whole: median (longest)",
)


def rows(trials: Sequence[Trial]) -> list[list[str]]:
    """Return one row for each kind of fault that was run."""
    found: list[list[str]] = []
    for kind in FaultKind:
        of_kind = [trial for trial in trials if trial.fault.kind is kind]
        if of_kind:
            found.append(_row(kind, of_kind))
    return found


def _row(kind: FaultKind, trials: Sequence[Trial]) -> list[str]:
    stored = sorted(trial.stored for trial in trials)
    times = [trial.whole_s for trial in trials if not trial.failure]
    took = f"{statistics.median(times):.1f} ({max(times):.1f})" if times else "never"
    counts = [
        sum(getattr(t.differences, name) for t in trials) for name in ("lost", "duplicated", "pending", "wrong")
    ]
    return [
        kind.title,
        kind.signal.name,
        str(len(trials)),
        f"{stored[0]} to {stored[-1]}",
        f"{sum(trial.loading for trial in trials)} of {len(trials)}",
        kind.remedy,
        *map(str, counts),
        str(sum(bool(trial.failure) for trial in trials)),
        took,
    ]


def table(trials: Sequence[Trial]) -> str:
    """Return the table in Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *rows(trials)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def as_json(trials: Sequence[Trial], **about: Any) -> dict[str, Any]:
    """Return everything, each run by itself."""
    return {**about, "clean": all(trial.clean for trial in trials), "runs": [trial.to_dict() for trial in trials]}
