"""How far a confidence can be believed: stated probabilities against what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.errors import InvalidRequestError

BINS: Final = 10

Confidences = Sequence[float] | NDArray[np.float64]
Verdicts = Sequence[bool] | NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The answers whose confidence lies in one part of 0 to 1.

    Attributes:
        low: From, inclusive.
        high: To, exclusive; inclusive for the last.
        count: Answers.
        confidence: Their mean confidence.
        accepted: The share of them that was accepted.
    """

    low: float
    high: float
    count: int
    confidence: float
    accepted: float


def reliability(confidences: Confidences, accepted: Verdicts, bins: int = BINS) -> list[Bin]:
    """Sort answers into bins of equal width by their confidence; bins without answers are left out.

    Args:
        confidences: 0 to 1.
        accepted: For each, whether it was accepted.
        bins: How many.

    Raises:
        InvalidRequestError: The lists differ in length, or a confidence is no probability.
    """
    stated, right = _checked(confidences, accepted)
    place = _places(stated, bins)
    return [
        Bin(
            low=number / bins,
            high=(number + 1) / bins,
            count=int(inside.sum()),
            confidence=float(stated[inside].mean()),
            accepted=float(right[inside].mean()),
        )
        for number in range(bins)
        if (inside := place == number).any()
    ]


def expected_calibration_error(confidences: Confidences, accepted: Verdicts, bins: int = BINS) -> float:
    """Return the mean distance of confidence and accepted share over the bins, each weighted by its answers.

    Returns:
        0 for a confidence that is always right about itself, to 1.

    Raises:
        InvalidRequestError: There are no answers; and as `reliability`.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    stated, right = _checked(confidences, accepted)
    if not stated.size:
        raise InvalidRequestError("no answers to judge confidence by; expected at least one")
    # A bin's distance times its answers is the distance of the sums.
    return float(np.abs(np.bincount(_places(stated, bins), weights=right - stated)).sum() / stated.size)


def brier_score(confidences: Confidences, accepted: Verdicts) -> float:
    """Return the mean squared distance of confidence and what became of it: 0 is best, 1 is worst.

    Raises:
        InvalidRequestError: There are no answers; and as `reliability`.

    Source: Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78, 1950, for
        one outcome.
    """
    stated, right = _checked(confidences, accepted)
    if not stated.size:
        raise InvalidRequestError("no answers to judge confidence by; expected at least one")
    return float(((stated - right) ** 2).mean())


def _places(stated: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    return np.minimum((stated * bins).astype(np.int64), bins - 1)


def _checked(confidences: Confidences, accepted: Verdicts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    stated, right = np.asarray(confidences, np.float64), np.asarray(accepted, np.float64)
    if stated.shape != right.shape:
        raise InvalidRequestError(
            f"expected one verdict for each confidence, got {right.size} for {stated.size}; pass lists of one length"
        )
    if not ((stated >= 0) & (stated <= 1)).all():
        raise InvalidRequestError("a confidence is a probability: expected 0 to 1, got a number outside")
    return stated, right
