"""`product-match evaluate`: how well a running server finds the photos of a labelled folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from product_match_client.cli.arguments import add_command, open_client, server_url
from product_match_client.cli.output import Column, Console

PARTS = ("test", "validation", "train", "all")
FIGURES = (
    "precision@1",
    "precision@5",
    "precision@10",
    "precision@5_mean_of_labels",
    "mean_average_precision",
)


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "evaluate",
        summary="Measure a running server on a folder with images/ and images.csv (columns image and label).",
        example="product-match evaluate photos/\nproduct-match evaluate photos/ --part all --json > report.json",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with images/ and images.csv")
    parser.add_argument(
        "--part",
        choices=PARTS,
        default="test",
        help="part of the fixed split by file names: the demo CLIP never saw `test` (default %(default)s)",
    )
    parser.add_argument(
        "--template", default="{}", metavar="WORDS", help="words for a label, {} in its place (default %(default)s)"
    )
    parser.add_argument("--no-copies", action="store_true", help="leave out the search for changed copies")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Measure, and print the figures."""
    # Imported here: what the other commands do without.
    from product_match.evaluation.split import Part
    from product_match_client.cli.bulk import BulkLoad, BulkSettings
    from product_match_client.cli.evaluating import Evaluation, labelled_photos
    from product_match_client.loading.loader import LoadSettings

    parts = list(Part) if arguments.part == "all" else [Part(arguments.part)]
    photos = labelled_photos(arguments.folder, parts)
    settings = BulkSettings(load=LoadSettings(wait=True), timeout_s=arguments.timeout)
    load = BulkLoad(server_url(arguments.url, os.environ), settings, console)
    with open_client(arguments) as client:
        evaluation = Evaluation(client, load, console, arguments.folder)
        report = evaluation.run(photos, arguments.template, not arguments.no_copies)
    report = {"folder": str(arguments.folder), "part": arguments.part, **report}
    if arguments.json or not console.for_person:
        console.json(report)
    else:
        print_report(report, console)
    return 0


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print the figures as tables."""
    counts = report["photos"]
    console.line(f"{report['encoder']}: {counts['indexed']:,} photos indexed, {counts['queries']:,} asked for")
    console.line()
    rows = [
        (kind.replace("_", " "), name.replace("_", " "), *_interval(report[kind][name]))
        for kind in ("image_to_image", "text_to_image")
        for name in FIGURES
    ]
    rows += [
        ("copies found first", name, *_interval(value))
        for name, value in report.get("copies_found_first", {}).items()
    ]
    columns = (
        Column(title="queries"),
        Column(title="figure"),
        Column(title="mean", right=True),
        Column(title="95% interval"),
    )
    console.table(columns, rows)
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


def _interval(value: Mapping[str, float]) -> tuple[float, str]:
    return value["mean"], f"{value['low']:.3f} to {value['high']:.3f}"
