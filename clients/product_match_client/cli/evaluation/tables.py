"""The figures of an evaluation as tables, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from product_match_client.cli.output import Column, Console

SIDES: Final[Mapping[str, str]] = {
    "words": "all words",
    "photo": "all photos",
    "photo and words": "all photos and words",
    "composed": "all composed",
    "all": "all",
}
COMPARISONS: Final[Mapping[str, str]] = {
    "words": "beside exact words alone (BM25)",
    "vector": "beside one vector alone",
}
SIGNALS: Final[Mapping[str, str]] = {
    "confidence": "confidence",
    "score": "flat score",
    "vector_score": "flat score, one vector",
}
PHOTO_FIGURES: Final = (
    "precision@1",
    "precision@5",
    "precision@10",
    "precision@5_mean_of_labels",
    "mean_average_precision",
)


def print_judged(report: Mapping[str, Any], console: Console) -> None:
    """Print the report on judged queries."""
    options = ", ".join(f"{name}={value}" for name, value in report["options"].items()) or "defaults"
    console.line(f"{report['encoder']}: {report['queries']:,} queries of {report['file']} ({options})")
    for kind, entry in report["left_out"].items():
        console.line(f"left out: {entry['queries']} of {kind}, which need {', '.join(entry['needs'])}")
    accepted = report["accepted_products"]
    if accepted["absent"]:
        console.line(
            f"{accepted['absent']} of {accepted['products']} accepted products are not in the catalogue and count as "
            f"not found, such as {', '.join(accepted['first_absent'])}"
        )
    for refusal in report["refusals"]:
        console.line(f"refused: {refusal['id']}: {refusal['message']}")
    _print_quality(report, console)
    if report["spelling"]:
        _print_spelling(report["spelling"], console)
    for name, comparison in report["baselines"].items():
        _print_comparison(f"{COMPARISONS[name]}; differences are here less there", comparison, console)
    if against := report["against"]:
        _print_comparison(f"beside the saved run of {against['encoder']}", against, console)
        if against["left_out"]:
            console.line(f"{len(against['left_out'])} queries are not in the saved run, or asked otherwise there")
    if report["confidence"]:
        _print_confidence(report["confidence"], console)
    if report["false_matches"]:
        _print_false_matches(report["false_matches"], console)


def print_photos(report: Mapping[str, Any], console: Console) -> None:
    """Print the report on labelled photos."""
    counts = report["photos"]
    console.line(f"{report['encoder']}: {counts['indexed']:,} photos indexed, {counts['queries']:,} asked for")
    console.line()
    rows = [
        (kind.replace("_", " "), name.replace("_", " "), report[kind][name]["mean"], _interval(report[kind][name]))
        for kind in ("image_to_image", "text_to_image")
        for name in PHOTO_FIGURES
    ]
    rows += [
        ("copies found first", name, value["mean"], _interval(value))
        for name, value in report.get("copies_found_first", {}).items()
    ]
    console.table((*_columns("queries", "figure"), *_columns(">mean", "95% interval")), rows)
    console.line()
    _print_labels(report, console)


def _print_labels(report: Mapping[str, Any], console: Console) -> None:
    by_photo, by_words = (report[kind]["labels"] for kind in ("image_to_image", "text_to_image"))
    names = ("precision@1", "precision@5", "precision@10")
    columns = [Column(title="label", elastic=True), Column(title="photos", right=True)]
    columns += [Column(title=f"{side} {name[9:]}", right=True) for side in ("photo", "words") for name in names]
    rows = [
        (
            label,
            by_photo.get(label, {}).get("queries", 0),
            *(by_photo.get(label, {}).get(name) for name in names),
            *(by_words.get(label, {}).get(name) for name in names),
        )
        for label in sorted({*by_photo, *by_words})
    ]
    console.table(columns, rows)


def _print_quality(report: Mapping[str, Any], console: Console) -> None:
    recall = f"recall@{report['depth']}"
    rows = [
        (
            name,
            part["queries"],
            *_mean_and_interval(part.get("hit@1")),
            _mean(part.get(recall)),
            _mean(part.get("mrr")),
            *_mean_and_interval(part.get("ndcg@10")),
            _mean(part.get("matched")),
            _mean(part.get("false_matches")),
            part["repaired"] or None,
            part["refused"] or None,
        )
        for name, part in _parts(report)
    ]
    titles = ("kind", ">queries", ">hit@1", "95%", f">{recall}", ">MRR", ">nDCG@10", "95%", ">matched", ">false")
    _section(None, _columns(*titles, ">repaired", ">refused"), rows, console)


def _print_spelling(spelling: Mapping[str, Any], console: Console) -> None:
    hit, share = spelling["hit@1"], spelling["share_of_right_spelling"]
    console.line()
    console.line(
        f"misspelt: hit@1 {hit['here']:.3f}, and {hit['there']:.3f} for the right spelling of the same "
        f"{spelling['queries']} queries" + (f" ({share:.3f} of it)" if share is not None else "")
    )


def _print_comparison(title: str, comparison: Mapping[str, Any], console: Console) -> None:
    rows = [
        (
            name,
            part["queries"],
            *_differences(part.get("hit@1")),
            *_differences(part.get("ndcg@10")),
            part.get("better"),
            part.get("worse"),
            _difference(part.get("false_matches")),
        )
        for name, part in _parts(comparison)
        if len(part) > 1
    ]
    titles = ("kind", ">queries", ">hit@1", ">there", "difference", ">nDCG@10", ">there", "difference")
    _section(title, _columns(*titles, ">better", ">worse", "false, difference"), rows, console)


def _print_confidence(confidence: Mapping[str, Any], console: Console) -> None:
    rows = [
        (
            SIDES[side],
            part["answers"],
            part["mean_confidence"],
            part["accepted"],
            part["expected_calibration_error"]["value"],
            _interval(part["expected_calibration_error"]),
            part["brier_score"],
        )
        for side, part in confidence.items()
    ]
    titles = ("first matches", ">answers", ">confidence", ">accepted", ">calibration error", "95%", ">Brier")
    _section("how far confidence can be believed", _columns(*titles), rows, console)
    bins = [
        (f"{part['low']:.1f} to {part['high']:.1f}", part["count"], part["confidence"], part["accepted"])
        for part in confidence["all"]["bins"]
    ]
    _section(None, _columns("confidence, all", ">answers", ">mean", ">accepted"), bins, console)


def _print_false_matches(sides: Mapping[str, Any], console: Console) -> None:
    rows: list[tuple[object, ...]] = []
    for side, part in sides.items():
        for name, signal in part["signals"].items():
            point = signal["at_90_percent_of_hits"]
            interval = f"{point['false_matches_low']:.3f} to {point['false_matches_high']:.3f}"
            rows.append(_threshold_row(SIDES[side], part["not_carried"], SIGNALS[name], point, interval))
        if point := part.get("outcome"):
            kept = f"`matched`, {point['hits_kept']:.0%} of hits"
            rows.append(_threshold_row(SIDES[side], part["not_carried"], kept, point, ""))
    titles = ("queries", ">not carried", "threshold on", ">at", ">hits", ">wrong", ">false", "95%")
    columns = _columns(*titles, ">precision", ">if 95% are not carried")
    _section("false matches where 90% of the hits are kept", columns, rows, console)


def _threshold_row(
    side: str, not_carried: float, name: str, point: Mapping[str, Any], interval: str
) -> tuple[object, ...]:
    return (
        *(
            side,
            not_carried,
            name,
            point["threshold"],
            point["hits"],
            point["wrong"],
            point["false_matches"],
            interval,
        ),
        *(point["precision"], point["precision_if_0.95_not_carried"]),
    )


def _parts(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from report["kinds"].items()
    for side, part in report["sides"].items():
        yield SIDES[side], part


def _section(
    title: str | None, columns: Sequence[Column], rows: Sequence[Sequence[object]], console: Console
) -> None:
    """Print a table under a title, without the columns that no row has."""
    shown = [place for place in range(len(columns)) if any(row[place] not in (None, "") for row in rows)]
    console.line()
    if title:
        console.line(title)
    console.table([columns[place] for place in shown], [[row[place] for place in shown] for row in rows])


def _columns(*titles: str) -> list[Column]:
    """Return columns by their titles; `>` in front of one aligns it to the right."""
    return [Column(title=title.removeprefix(">"), right=title.startswith(">")) for title in titles]


def _mean(figure: Mapping[str, float] | None) -> float | None:
    return None if figure is None else figure["mean"]


def _mean_and_interval(figure: Mapping[str, float] | None) -> tuple[float | None, str]:
    return (None, "") if figure is None else (figure["mean"], _interval(figure))


def _differences(figure: Mapping[str, Any] | None) -> tuple[float | None, float | None, str]:
    return (None, None, "") if figure is None else (figure["here"], figure["there"], _difference(figure))


def _difference(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    found = figure["difference"]
    return f"{found['mean']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"


def _interval(value: Mapping[str, float]) -> str:
    return f"{value['low']:.3f} to {value['high']:.3f}"
