"""`product-match verify`: are documents and vectors in step?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from product_match_client import conversations
from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.output import Column, Console
from product_match_client.client import ProductMatchClient
from product_match_client.loading.retrying import until_answered

GIVE_UP_AFTER_S: Final = 60.0
"""Longest time without an answer: a large catalogue is compared in many steps, and one may meet a busy server."""

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
        report = _verify(client, console, repair=arguments.repair)
        if arguments.repair and not report.get("in_step"):
            # What was found counts as found; whether it is mended, a second look tells.
            repaired = report.get("repaired", 0)
            report = {**_verify(client, console, repair=False), "repaired": repaired}
    if arguments.json or not console.for_person:
        console.json(report)
    else:
        print_report(report, console)
    return 0 if report.get("in_step") else 1


def _verify(client: ProductMatchClient, console: Console, *, repair: bool) -> dict[str, Any]:
    """Compare to the end, in steps, each of which is asked for again while the server is busy."""
    conversation = conversations.verify(repair)
    command = next(conversation)
    while True:
        answer = until_answered(
            partial(client.catalogue, command),
            GIVE_UP_AFTER_S,
            lambda why: console.note(f"waiting for the server: {why}"),
        )
        try:
            command = conversation.send(answer)
        except StopIteration as end:
            return dict(end.value)


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
