"""Latency against rate, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.load.runs import RunResult
from product_match.contract.errors import ConfigError

FORMATS: Final = ("png", "svg")
SHOWN: Final = {"p50": "-", "p99": "--"}


def plot_latency(results: Sequence[RunResult], directory: Path, title: str) -> list[Path]:
    """Draw p50 and p99 of each kind and protocol over the throughput that was reached.

    Returns:
        The files, one for each format.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ConfigError('plots are drawn by matplotlib; install `pip install "product-match[bench]"`') from error
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (name, points) in enumerate(series(results).items()):
        for quantile, style in SHOWN.items():
            line = [(rate, latency[quantile]) for rate, latency in points if quantile in latency]
            axes.plot(*zip(*line, strict=True), style, marker="o", color=f"C{number}", label=f"{name}, {quantile}")
    axes.set(xlabel="answers a second", ylabel="latency, ms", yscale="log", title=title)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize="small")
    files = [directory / f"latency.{suffix}" for suffix in FORMATS]
    for file in files:
        figure.savefig(file, dpi=120)
    return files


def series(results: Sequence[RunResult]) -> dict[str, list[tuple[float, dict[str, float]]]]:
    """Return the points of each line, ascending: throughput, and the latency at it by percentile."""
    lines: dict[str, list[tuple[float, dict[str, float]]]] = {}
    for result in results:
        if result.latency.quantiles:
            loop = "open loop" if result.rate else "closed loop"
            repeated = ", repeated" if result.repeated else ""
            name = f"{result.kind}, {result.protocol}, {loop}{repeated}"
            lines.setdefault(name, []).append((result.throughput, result.latency.quantiles))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in lines.items()}
