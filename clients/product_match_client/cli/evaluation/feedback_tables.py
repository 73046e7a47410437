"""A report on feedback as tables, for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from product_match_client.cli.output import Column, Console

HEADINGS: Final[Mapping[str, str]] = {
    "rank": "products, by rank",
    "kind": "answers, by what was asked with",
    "outcome": "answers, by outcome",
    "encoder": "answers, by encoder",
}
FIGURES: Final[Mapping[str, str]] = {
    "shown": "shown",
    "click_rate": "clicked",
    "click_rate_95": "95%",
    "basket": "basket",
    "purchase": "bought",
    "wrong": "wrong",
    "ratings": "rated",
    "mean_rating": "mean",
}
"""Figures of a group, and the headings of their columns: few letters, so that they fit a terminal."""
LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "end_badly": ("query", "answers", "bad", "unclicked", "mean_rating", "outcome"),
    "without_match": ("query", "outcome", "answers"),
    "errors": ("model", "code", "requests"),
}
TITLES: Final[Mapping[str, str]] = {
    "end_badly": "queries that end badly",
    "without_match": "queries without a match",
    "errors": "requests that failed",
}
_LEFT: Final = frozenset({"query", "outcome", "model", "code"})


def print_feedback(report: Mapping[str, Any], console: Console) -> None:
    """Print a report on feedback."""
    share = report["no_match_share"]
    console.line(
        f"{report['answers']:,} answers in {report['days']:g} days, {report['answers_with_feedback']:,} with feedback"
        + ("" if share is None else f", {share:.1%} without a match")
    )
    if report["shown"] != "told":
        console.line(f"the shop has not told what it showed: {report['shown']} counts")
    for name, heading in HEADINGS.items():
        if report["by"][name]:
            _print_group(heading, name, report["by"][name], console)
    for name, columns in LISTS.items():
        if report[name]:
            console.line()
            console.line(TITLES[name])
            console.table(
                [_column(title) for title in columns], [[entry[title] for title in columns] for entry in report[name]]
            )


def _print_group(heading: str, name: str, group: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    columns = [Column(title=name, elastic=True), *(_column(title) for title in FIGURES.values())]
    rows = []
    for key, entry in group.items():
        low, high = entry["click_rate_95"]
        shown = {**entry, "click_rate_95": f"{low:.3f} to {high:.3f}"}
        rows.append([key, *(shown[figure] for figure in FIGURES)])
    console.line()
    console.line(heading)
    console.table(columns, rows)


def _column(title: str) -> Column:
    return Column(title=title.replace("_", " "), right=title not in _LEFT, elastic=title == "query")
