"""The plots: reliability of confidence and false matches of an evaluation; clicks and ratings of feedback."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ConfigError

FORMATS: Final = (".png", ".svg", ".pdf")
SIGNALS: Final = {
    "confidence": ("confidence", "-"),
    "score": ("flat score", "--"),
    "vector_score": ("flat score, one vector", ":"),
}
COLOURS: Final = {"words": "C0", "photo": "C1", "photo and words": "C2", "composed": "C4", "all": "C3"}


def check_plot(path: Path) -> None:
    """Check, before an evaluation is run, that a plot of it can be drawn.

    Raises:
        ConfigError: The file's name has another ending, or matplotlib is not installed.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: a plot is {', '.join(FORMATS)}, got `{path.suffix}`; name the file so")
    _figure()


def plot_judged(report: Mapping[str, Any], path: Path) -> None:
    """Draw the confidence and the false matches of a report on judged queries.

    Args:
        report: Of `JudgedEvaluation.report`.
        path: Where; its ending decides the format.

    Raises:
        ConfigError: As `check_plot`; or the file cannot be written.
    """
    figure = _figure()
    left, right = figure.subplots(1, 2)
    _draw_reliability(report["confidence"], left)
    _draw_curves(report["false_matches"], right)
    figure.suptitle(f"{report['encoder']}, {report['queries']} queries", fontsize="medium")
    _save(figure, path)


def plot_feedback(report: Mapping[str, Any], path: Path) -> None:
    """Draw the click rate by rank, and the mean rating by kind and outcome, of a report on feedback.

    Args:
        report: Of `feedback_report`.
        path: Where; its ending decides the format.

    Raises:
        ConfigError: As `check_plot`; or the file cannot be written.
    """
    figure = _figure()
    left, right = figure.subplots(1, 2)
    ranks = report["by"]["rank"]
    rates = [entry["click_rate"] or 0.0 for entry in ranks.values()]
    ends = [entry["click_rate_95"] for entry in ranks.values()]
    below = [rate - low for rate, (low, _) in zip(rates, ends, strict=True)]
    above = [high - rate for rate, (_, high) in zip(rates, ends, strict=True)]
    left.errorbar(list(ranks), rates, yerr=[below, above], fmt="o-", color="C0", capsize=3)
    left.set(xlabel="rank", ylabel="clicked, of what was shown (95% interval)", ylim=(0, None))
    left.set_title("clicks by rank", fontsize="medium")
    rated = {
        f"{key} ({entry['ratings']})": entry["mean_rating"]
        for group in ("kind", "outcome")
        for key, entry in report["by"][group].items()
        if entry["ratings"]
    }
    right.barh(list(rated), list(rated.values()), color="C1")
    right.set(xlabel="mean rating, 1 to 10 (how many)", xlim=(0, 10))
    right.set_title("ratings" if rated else "ratings: none were given", fontsize="medium")
    for axes in (left, right):
        _finish(axes)
    told = f"{report['answers']:,} answers, {report['answers_with_feedback']:,} with feedback"
    figure.suptitle(told, fontsize="medium")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); give another place for the plot") from error


def _figure() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ConfigError('plots are drawn by matplotlib; install `pip install "product-match[bench]"`') from error
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_reliability(sides: Mapping[str, Any], axes: Any) -> None:
    """Draw the accepted share of each bin over its confidence; the larger a point, the more answers."""
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for side, part in sides.items():
        error = part["expected_calibration_error"]["value"]
        bins = part["bins"]
        line = ([point["confidence"] for point in bins], [point["accepted"] for point in bins])
        axes.plot(*line, color=COLOURS[side], label=f"{side}: calibration error {error:.3f}")
        axes.scatter(*line, color=COLOURS[side], s=[8 + point["count"] for point in bins])
    axes.set(xlabel="confidence of the first match", ylabel="share that is accepted", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("reliability" if sides else "reliability: the server states no confidence", fontsize="medium")
    _finish(axes)


def _draw_curves(sides: Mapping[str, Any], axes: Any) -> None:
    """Draw hits over false matches, one colour a side and one style a signal; a ring is the server's own outcome."""
    for side, part in sides.items():
        name = f"{side} ({part['not_carried']:.0%} not carried)"
        for signal, found in part["signals"].items():
            words, style = SIGNALS[signal]
            points = [(0.0, 0.0), *((point["false_matches"], point["hits"]) for point in found["curve"])]
            x, y = zip(*points, strict=True)
            axes.plot(x, y, style, color=COLOURS[side], drawstyle="steps-post", label=f"{name}: {words}")
        if point := part.get("outcome"):
            axes.plot(point["false_matches"], point["hits"], "o", fillstyle="none", color=COLOURS[side])
    axes.set(xlabel="false matches: of what is not carried", ylabel="hits: of what is carried", xlim=(-0.01, 1))
    axes.set(ylim=(0, 1.02))
    axes.set_title("false matches against hits", fontsize="medium")
    _finish(axes)


def _finish(axes: Any) -> None:
    axes.grid(visible=True, alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="x-small")
