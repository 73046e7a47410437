"""Makes inputs by Hypothesis, seeded, in rounds, and keeps count of what became of them."""

from __future__ import annotations

import collections
import contextlib
import resource
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

import hypothesis

from product_match.contract.errors import InvalidRequestError
from tests.fuzzing.kinds import KINDS

ROUND = 2000
"""Hypothesis remembers what it made; a round of this size keeps that small."""
MOST_FAILURES = 20


@dataclass(kw_only=True)
class Figures:
    """What came of one kind of inputs."""

    kind: str
    seed: int
    answered: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    reasons: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        count = self.answered + self.refused + len(self.failures)
        return {
            "kind": self.kind,
            "seed": self.seed,
            "inputs": count,
            "answered": self.answered,
            "refused": self.refused,
            "failures": self.failures,
            "inputs_a_second": round(count / self.seconds) if self.seconds else 0,
            "slowest_ms": round(self.slowest_ms, 1),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "peak_memory_of_children_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
            "commonest_reasons": dict(self.reasons.most_common(12)),
        }


def run_rounds(name: str, count: int, seed: int) -> Figures:
    """Run `count` inputs of a kind; the same seed makes the same ones."""
    kind = KINDS[name]
    figures = Figures(kind=name, seed=seed)
    start = time.monotonic()
    with contextlib.closing(kind.target()) as target:
        for number, first in enumerate(range(0, count, ROUND)):
            _round(kind.inputs, target, figures, min(ROUND, count - first), seed * 1_000_003 + number)
            if len(figures.failures) >= MOST_FAILURES:
                break
    figures.seconds = time.monotonic() - start
    return figures


def _round(inputs: Any, target: Any, figures: Figures, count: int, seed: int) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(inputs)
    def one(given: Any) -> None:
        begun = time.perf_counter()
        try:
            target.take(given)
            figures.answered += 1
        except InvalidRequestError as error:
            figures.refused += 1
            figures.reasons[_reason(str(error))] += 1
        except Exception:
            figures.failures.append({"input": repr(given)[:2000], "trace": traceback.format_exc()[-2000:]})
        figures.slowest_ms = max(figures.slowest_ms, 1000 * (time.perf_counter() - begun))

    one()


def _reason(message: str) -> str:
    """Return the first words of a message without its figures."""
    return " ".join("#" if any(map(str.isdigit, word)) else word for word in message.split()[:6])
