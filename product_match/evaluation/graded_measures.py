"""Measures of ranked answers whose right ones have grades. One query has one figure of each; all are 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from product_match.contract.errors import InvalidRequestError

NDCG_DEPTH: Final = 10


def graded_measures(ranked: Sequence[str], grades: Mapping[str, int], depth: int) -> dict[str, float]:
    """Measure one answer.

    Args:
        ranked: Ids of the answered products, best first, without repeats.
        grades: Grade of each product that is accepted, from 1; a product that is not in it is not accepted.
        depth: How many answers count for recall and the reciprocal rank.

    Returns:
        `hit@1`, `recall@<depth>`, `mrr` and `ndcg@10`, by name.

    Raises:
        InvalidRequestError: Nothing is accepted, a grade or the depth is below 1, or an id is answered twice.
    """
    if depth < 1:
        raise InvalidRequestError(f"measures need a depth of at least 1, got {depth}")
    if not grades or min(grades.values()) < 1:
        raise InvalidRequestError(
            f"measures need at least one accepted product, with a grade of at least 1, got {dict(grades)}; leave out "
            "queries that nothing answers"
        )
    if len(set(ranked)) != len(ranked):
        raise InvalidRequestError(f"an answer holds each product once, got {list(ranked)}")
    accepted = [product_id in grades for product_id in ranked[:depth]]
    return {
        "hit@1": float(bool(accepted) and accepted[0]),
        f"recall@{depth}": sum(accepted) / len(grades),
        "mrr": 1 / (accepted.index(True) + 1) if any(accepted) else 0.0,
        f"ndcg@{NDCG_DEPTH}": normalised_gain(ranked, grades, NDCG_DEPTH),
    }


def normalised_gain(ranked: Sequence[str], grades: Mapping[str, int], depth: int) -> float:
    """Return the normalised discounted cumulative gain at a depth.

    The gain of a grade is 2^grade - 1: grade 3 counts seven times as much as grade 1. The gain at rank r is divided
    by log2(r + 1), and the sum by that of the best ranking there could be.

    Source: Burges et al., Learning to Rank using Gradient Descent, ICML 2005, section 6; the name and the
        discount are those of Järvelin and Kekäläinen, ACM TOIS 20(4), 2002.
    """
    best = sorted(grades.values(), reverse=True)
    return _gain([grades.get(product_id, 0) for product_id in ranked[:depth]]) / _gain(best[:depth])


def _gain(grades: Sequence[int]) -> float:
    return sum((2.0**grade - 1) / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))
