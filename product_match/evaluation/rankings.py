"""Turns ranked answers into a report: overall, by label, with ceilings and 95% intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .metrics import Estimate, average_precision, ceiling_at, estimate, precision_at

DEPTHS: Final = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The answers to one query.

    Attributes:
        label: The label that right answers have.
        answers: Labels of the answers, best first; as deep as the ranking was asked for.
        relevant: Indexed items with the label.
        group: Queries of one group are drawn together for the interval (a photo's run).
    """

    label: str
    answers: tuple[str, ...]
    relevant: int
    group: str

    @property
    def hits(self) -> list[bool]:
        """Whether each answer has the label."""
        return [answer == self.label for answer in self.answers]


@dataclass(frozen=True, kw_only=True)
class RankingReport:
    """Figures over many queries.

    Attributes:
        precision: Depth to the mean over all queries.
        ceiling: Depth to the best mean that any ranking could reach.
        by_label_mean: Depth to the mean over labels, each label counting the same.
        mean_average_precision: Mean over the queries.
        labels: Label to depth to its mean precision.
        label_counts: Label to its number of queries.
    """

    precision: dict[int, Estimate]
    ceiling: dict[int, float]
    by_label_mean: dict[int, Estimate]
    mean_average_precision: Estimate
    labels: dict[str, dict[int, float]]
    label_counts: dict[str, int]

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON values, with `precision@k` keys."""
        return {
            **{f"precision@{k}": value.as_json() for k, value in self.precision.items()},
            **{f"ceiling@{k}": round(value, 4) for k, value in self.ceiling.items()},
            **{f"precision@{k}_mean_of_labels": value.as_json() for k, value in self.by_label_mean.items()},
            "mean_average_precision": self.mean_average_precision.as_json(),
            "labels": {
                label: {
                    "queries": self.label_counts[label],
                    **{f"precision@{k}": round(v, 4) for k, v in depths.items()},
                }
                for label, depths in self.labels.items()
            },
        }


def report_of(rankings: Sequence[Ranking]) -> RankingReport:
    """Measure ranked answers. Queries whose label is not in the index are left out.

    Args:
        rankings: One per query.

    Returns:
        The figures.

    Raises:
        InvalidRequestError: No query has a right answer in the index.
    """
    asked = [ranking for ranking in rankings if ranking.relevant > 0]
    groups = [ranking.group for ranking in asked]
    names = sorted({ranking.label for ranking in asked})
    values = {k: [precision_at(ranking.hits, k) for ranking in asked] for k in DEPTHS}
    precisions = [average_precision(ranking.hits, min(ranking.relevant, len(ranking.answers))) for ranking in asked]
    labels: dict[str, dict[int, float]] = {}
    for name in names:
        rows = [row for row, ranking in enumerate(asked) if ranking.label == name]
        labels[name] = {k: sum(values[k][row] for row in rows) / len(rows) for k in DEPTHS}
    return RankingReport(
        precision={k: estimate(values[k], groups=groups) for k in DEPTHS},
        ceiling={k: sum(ceiling_at(ranking.relevant, k) for ranking in asked) / len(asked) for k in DEPTHS},
        by_label_mean={k: estimate([labels[name][k] for name in names]) for k in DEPTHS},
        mean_average_precision=estimate(precisions, groups=groups),
        labels=labels,
        label_counts={name: sum(ranking.label == name for ranking in asked) for name in names},
    )
