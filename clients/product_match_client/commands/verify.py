"""`product-match verify`: are documents and vectors in step?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from product_match_client.arguments import add_command, open_client
from product_match_client.output import Column, Console

COLUMNS = (Column(title="what"), Column(title="number", right=True), Column(title="such as", elastic=True))


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "verify",
        summary="Compare documents and vectors; exit 1 when they are out of step.",
        example="product-match verify\nproduct-match verify --repair",
    )
    parser.add_argument("--repair", action="store_true", help="bring the vectors in step with the documents")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Verify, and print the report."""
    with open_client(arguments) as client:
        report = client.verify(repair=arguments.repair)
        if arguments.repair and not report.get("in_step"):
            # What was found counts as found; whether it is mended, a second look tells.
            repaired = report.get("repaired", 0)
            report = {**client.verify(), "repaired": repaired}
    if arguments.json or not console.for_person:
        console.json(report)
    else:
        print_report(report, console)
    return 0 if report.get("in_step") else 1


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """Print a report as a table."""
    examples: Mapping[str, list[str]] = report.get("examples", {})
    console.table(
        COLUMNS,
        [
            (name.replace("_", " "), value, ", ".join(examples.get(name, [])))
            for name, value in report.items()
            if isinstance(value, int) and not isinstance(value, bool)
        ],
    )
    console.line()
    console.line("in step" if report.get("in_step") else "out of step; `product-match verify --repair` mends vectors")
