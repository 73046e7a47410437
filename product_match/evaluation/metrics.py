"""Measures of ranked answers: precision, average precision, their ceilings and their 95% intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from product_match.contract.errors import InvalidRequestError


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its 95% interval.

    Attributes:
        mean: Mean over the queries.
        low: Lower end of the interval.
        high: Upper end of the interval.
        count: Queries.
    """

    mean: float
    low: float
    high: float
    count: int

    def as_json(self) -> dict[str, float]:
        """Return the figures, rounded to four places, for a JSON report."""
        return {
            "mean": round(self.mean, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "count": self.count,
        }


def precision_at(hits: Sequence[bool], k: int) -> float:
    """Return the share of the first k answers that are right.

    Args:
        hits: Whether each ranked answer is right, best first; missing answers count as wrong.
        k: At least 1.

    Returns:
        0 to 1.

    Raises:
        InvalidRequestError: k is below 1.
    """
    _check_depth(k)
    return sum(bool(hit) for hit in hits[:k]) / k


def ceiling_at(relevant: int, k: int) -> float:
    """Return the best precision at k that any ranking can reach.

    Args:
        relevant: Indexed items that are right answers.
        k: At least 1.

    Returns:
        0 to 1; below 1 where fewer than k right answers exist.

    Raises:
        InvalidRequestError: k is below 1, or `relevant` is negative.
    """
    _check_depth(k)
    if relevant < 0:
        raise InvalidRequestError(f"a count of right answers cannot be negative, got {relevant}; pass 0 or more")
    return min(relevant, k) / k


def average_precision(hits: Sequence[bool], relevant: int) -> float:
    """Return the mean of the precisions at the ranks of the right answers.

    Args:
        hits: Whether each ranked answer is right, best first.
        relevant: Right answers that exist; those that are not in `hits` count as precision 0. When the ranking was
            cut at a depth, pass the smaller of that depth and the count.

    Returns:
        0 to 1; 0 when there is no right answer.

    Raises:
        InvalidRequestError: There are more hits than right answers.
    """
    found = np.asarray(hits, dtype=np.float64)
    if found.sum() > relevant:
        raise InvalidRequestError(
            f"the ranking holds {int(found.sum())} right answers, but only {relevant} were said to exist; count the "
            "right answers in the index, without the query itself"
        )
    if relevant == 0 or found.size == 0:
        return 0.0
    precisions = np.cumsum(found) / np.arange(1, found.size + 1)
    return float((precisions * found).sum() / relevant)


def estimate(
    values: Sequence[float], *, groups: Sequence[str] | None = None, rounds: int = 2000, seed: int = 0
) -> Estimate:
    """Return the mean of one figure per query, with a 95% bootstrap interval.

    Args:
        values: One figure per query.
        groups: Names of the queries' groups (the run of a photo); whole groups are drawn, because
            neighbouring shots succeed and fail together. Without it each query is its own group.
        rounds: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The mean and the 2.5% and 97.5% quantiles of the drawn means.

    Raises:
        InvalidRequestError: There are no values, or not one group per value.
    """
    figures = np.asarray(values, dtype=np.float64)
    if figures.size == 0:
        raise InvalidRequestError("no figures to take a mean of; expected at least one query")
    names = [str(row) for row in range(figures.size)] if groups is None else list(groups)
    if len(names) != figures.size:
        raise InvalidRequestError(
            f"expected one group per figure, got {len(names)} groups for {figures.size} figures"
        )
    means = _drawn_means(figures, names, rounds, seed)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(mean=float(figures.mean()), low=float(low), high=float(high), count=int(figures.size))


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float], groups: Sequence[str], *, rounds: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95% bootstrap interval of any figure over many queries.

    Args:
        statistic: Takes the rows of a draw, with repeats, and returns the figure of it; NaN where it has none.
        groups: The name of each row's group; whole groups are drawn, as in `estimate`.
        rounds: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The 2.5% and 97.5% quantiles of the drawn figures.

    Raises:
        InvalidRequestError: There are no rows, or no draw has the figure.
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if not names.size:
        raise InvalidRequestError("no rows to draw from; expected at least one")
    rows = np.split(np.argsort(member, kind="stable"), np.cumsum(np.bincount(member))[:-1])
    generator = np.random.default_rng(seed)
    figures = [
        statistic(np.concatenate([rows[group] for group in generator.integers(0, len(rows), size=len(rows))]))
        for _ in range(rounds)
    ]
    if np.isnan(figures).all():
        raise InvalidRequestError(f"none of {rounds} draws has a figure; give more queries")
    low, high = np.nanquantile(figures, [0.025, 0.975])
    return float(low), float(high)


def _drawn_means(figures: NDArray[np.float64], names: Sequence[str], rounds: int, seed: int) -> NDArray[np.float64]:
    _, member = np.unique(np.asarray(names), return_inverse=True)
    sums = np.bincount(member, weights=figures)
    sizes = np.bincount(member).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(sums), size=(rounds, len(sums)))
    means: NDArray[np.float64] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return means


def _check_depth(k: int) -> None:
    if k < 1:
        raise InvalidRequestError(f"precision at k needs k of at least 1, got {k}")
