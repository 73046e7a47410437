"""Figures from measured latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from product_match.contract.errors import InvalidRequestError

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


def percentile(ascending: Sequence[float], quantile: float) -> float:
    """Return the nearest-rank percentile: the least value that at least `quantile` of all values do not exceed.

    Args:
        ascending: Values in ascending order, at least one.
        quantile: Above 0 and at most 1.

    Raises:
        InvalidRequestError: No values, or a quantile outside its range.
    """
    if not ascending:
        raise InvalidRequestError("percentile: there is no value; measure at least one request")
    if not 0 < quantile <= 1:
        raise InvalidRequestError(f"percentile: the quantile must be above 0 and at most 1, got {quantile}")
    return ascending[math.ceil(quantile * len(ascending)) - 1]


@dataclass(frozen=True, kw_only=True)
class LatencySummary:
    """Latencies of one run, in milliseconds. `quantiles` is empty where no request succeeded."""

    count: int
    mean_ms: float
    max_ms: float
    quantiles: dict[str, float]

    @property
    def p50_ms(self) -> float:
        """The median; NaN where there is none."""
        return self.quantiles.get("p50", math.nan)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One of the equal parts of a run, by when requests were due.

    Attributes:
        start_s: Where it begins.
        requests: Sent in it.
        errors: Of these.
        p50_ms: Of those that succeeded; None where none did.
        p99_ms: The same, and None where they are too few.
        memory_mb: Of the server's processes at its end; None where it is not known.
    """

    start_s: float
    requests: int
    errors: int
    p50_ms: float | None
    p99_ms: float | None
    memory_mb: float | None = None


def sliced(
    moments: Sequence[tuple[float, float | None]], seconds: float, parts: int, memory_mb: Sequence[float] = ()
) -> list[Slice]:
    """Return a run in equal parts.

    Args:
        moments: When each request was due, and its latency in seconds; None where it failed.
        seconds: Length of the run.
        parts: How many.
        memory_mb: At the end of each part, as far as it was read.
    """
    found = []
    for part in range(parts):
        start, end = part * seconds / parts, (part + 1) * seconds / parts
        held = [latency for due, latency in moments if start <= due < end]
        summary = summarise([latency for latency in held if latency is not None])
        quantiles = {name: round(value, 3) for name, value in summary.quantiles.items()}
        found.append(
            Slice(
                start_s=round(start, 3),
                requests=len(held),
                errors=sum(latency is None for latency in held),
                p50_ms=quantiles.get("p50"),
                p99_ms=quantiles.get("p99"),
                memory_mb=memory_mb[part] if part < len(memory_mb) else None,
            )
        )
    return found


def summarise(latencies_s: Sequence[float]) -> LatencySummary:
    """Summarise latencies given in seconds.

    A percentile is left out where there are too few requests for one of them to lie above it.
    """
    if not latencies_s:
        return LatencySummary(count=0, mean_ms=0.0, max_ms=0.0, quantiles={})
    ascending = sorted(latency * 1000 for latency in latencies_s)
    count = len(ascending)
    return LatencySummary(
        count=count,
        mean_ms=sum(ascending) / count,
        max_ms=ascending[-1],
        quantiles={
            name: percentile(ascending, quantile)
            for name, quantile in QUANTILES.items()
            if count * (1 - quantile) >= 1 or name == "p50"
        },
    )
