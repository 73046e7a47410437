"""What a threshold costs and saves: matches for what the shop does not carry, against right matches that are kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.errors import InvalidRequestError

NO_MATCH: Final = -math.inf
"""The signal of a query that has no match: below every threshold."""


@dataclass(frozen=True, kw_only=True)
class FirstMatches:
    """The first match of each query, as far as a threshold sees it.

    Attributes:
        signal: [n] float64, what the threshold is laid on; `NO_MATCH` where nothing came.
        carried: [n] bool, whether the shop has what was asked for.
        right: [n] bool, whether the match is accepted; never where the query is not carried.
    """

    signal: NDArray[np.float64]
    carried: NDArray[np.bool_]
    right: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Iterable[tuple[float, bool, bool]]) -> FirstMatches:
        """Gather rows of signal, carried and right.

        Raises:
            InvalidRequestError: Not both kinds of queries are there.
        """
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        signal, carried = np.array(columns[0], np.float64), np.array(columns[1], np.bool_)
        if carried.all() or not carried.any():
            raise InvalidRequestError(
                "false matches are weighed against hits: expected queries that are carried and queries that are not, "
                f"got {int(carried.sum())} and {int((~carried).sum())}"
            )
        return cls(signal=signal, carried=carried, right=np.array(columns[2], np.bool_) & carried)

    def draw(self, rows: NDArray[np.int64]) -> FirstMatches:
        """Return some of the rows, with repeats."""
        return FirstMatches(signal=self.signal[rows], carried=self.carried[rows], right=self.right[rows])


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one threshold does.

    Attributes:
        threshold: The first match counts where its signal is at least this.
        hits: Share of the carried queries whose first match counts and is accepted.
        wrong: Share of the carried queries whose first match counts and is not accepted.
        false_matches: Share of the queries that are not carried whose first match counts.
    """

    threshold: float
    hits: float
    wrong: float
    false_matches: float

    def precision(self, not_carried: float) -> float | None:
        """Return the share of the matches that count which are right.

        Args:
            not_carried: The base rate: the share of all queries that ask for what is not carried, 0 to 1.

        Returns:
            0 to 1; None where no match counts.
        """
        right = (1 - not_carried) * self.hits
        shown = right + (1 - not_carried) * self.wrong + not_carried * self.false_matches
        return right / shown if shown > 0 else None


def point_at(matches: FirstMatches, threshold: float) -> Point:
    """Return what one threshold does."""
    counts = matches.signal >= threshold
    carried = int(matches.carried.sum())
    return Point(
        threshold=threshold,
        hits=float((counts & matches.right).sum() / carried),
        wrong=float((counts & matches.carried & ~matches.right).sum() / carried),
        false_matches=float(counts[~matches.carried].mean()),
    )


def curve(matches: FirstMatches) -> list[Point]:
    """Return what each threshold does that keeps the most hits for its false matches, by falling threshold.

    The first point is a threshold that nothing passes, the last one that every match passes.
    """
    thresholds = np.unique(matches.signal[matches.signal > NO_MATCH])[::-1]
    points = [point_at(matches, float(threshold)) for threshold in (math.inf, *thresholds)]
    return list({point.false_matches: point for point in points}.values())


def threshold_that_keeps(matches: FirstMatches, share: float) -> float:
    """Return the highest threshold that keeps a share of the hits that there are without one.

    Args:
        matches: The first matches.
        share: Above 0, to 1.

    Returns:
        The threshold; NaN where there are no hits.
    """
    signals = np.sort(matches.signal[matches.right])[::-1]
    if not signals.size:
        return math.nan
    return float(signals[math.ceil(share * signals.size - 1e-9) - 1])


def false_matches_that_keep(matches: FirstMatches, share: float) -> float:
    """Return the share of false matches at `threshold_that_keeps`.

    Returns:
        0 to 1; NaN where there are no hits, or every query is carried.
    """
    threshold = threshold_that_keeps(matches, share)
    others = matches.signal[~matches.carried]
    return float((others >= threshold).mean()) if others.size and not math.isnan(threshold) else math.nan
