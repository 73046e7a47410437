"""Logistic regression: from evidence to a probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RIDGE: Final = 1e-2
"""Of the weights, over standardised features: keeps a fit finite where the examples part without a fault."""

STEPS: Final = 50
_LARGEST: Final = 30.0


@dataclass(frozen=True)
class LogisticMap:
    """A probability from features: 1 / (1 + exp(-(bias + weights . features))).

    Attributes:
        weights: One for each feature.
        bias: The log-odds where all features are 0.
    """

    weights: tuple[float, ...]
    bias: float

    def log_odds_of(self, features: Sequence[float]) -> float:
        """Return the log-odds of one row of features, faster than `log_odds` does."""
        odds = self.bias + sum(weight * feature for weight, feature in zip(self.weights, features, strict=True))
        return max(-_LARGEST, min(_LARGEST, odds))

    def log_odds(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of each row of features [n, k]."""
        odds: NDArray[np.float64] = np.clip(features @ np.asarray(self.weights) + self.bias, -_LARGEST, _LARGEST)
        return odds


def probability_of(log_odds: float) -> float:
    """Return the probability, 0 to 1, of log-odds."""
    return 1.0 / (1.0 + math.exp(-max(-_LARGEST, min(_LARGEST, log_odds))))


def probability(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities, 0 to 1, of log-odds."""
    found: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -_LARGEST, _LARGEST)))
    return found


def fit_logistic(features: NDArray[np.float64], accepted: Sequence[bool]) -> LogisticMap | None:
    """Fit a map to examples, by Newton's method (iteratively reweighted least squares).

    Args:
        features: [n, k], finite.
        accepted: What became of each, n of them.

    Returns:
        The map; None where all became the same, so that nothing can be learned.
    """
    wanted = np.asarray(accepted, np.float64)
    if wanted.min() == wanted.max():
        return None
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < 1e-9] = 1.0
    rows = np.column_stack([(features - mean) / spread, np.ones(len(features))])  # [n, k + 1]
    penalty = np.diag([RIDGE * len(features)] * features.shape[1] + [1e-9])
    solution = np.zeros(rows.shape[1])
    for _ in range(STEPS):
        expected = probability(rows @ solution)
        gradient = rows.T @ (wanted - expected) - penalty @ solution
        curvature = rows.T @ (rows * (expected * (1.0 - expected))[:, None]) + penalty
        step = np.linalg.solve(curvature, gradient)
        solution = solution + step
        if np.abs(step).max() < 1e-8:
            break
    weights = solution[:-1] / spread
    return LogisticMap(tuple(weights.tolist()), float(solution[-1] - weights @ mean))
