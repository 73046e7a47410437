"""`product-match drop`: removes the whole catalogue."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.output import Console


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "drop",
        summary="Remove every product for good; asks before.",
        example="product-match drop\nproduct-match drop --yes",
    )
    parser.add_argument("--collection", default="products", metavar="NAME", help="its name (default %(default)s)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask, and remove."""
    if not arguments.yes and not sys.stdin.isatty():
        arguments.refuse("nobody is there to ask; give --yes to remove every product")
    with open_client(arguments) as client:
        number = client.count()
        question = (
            f"Remove all {number:,} products of {client.url} for good? Type {arguments.collection} to confirm: "
        )
        if not arguments.yes and not console.ask(question, arguments.collection):
            console.note("nothing was removed")
            return 1
        client.drop(arguments.collection)
    if arguments.json or not console.for_person:
        console.json({"dropped": number})
    else:
        console.line(f"{number:,} removed")
    return 0
