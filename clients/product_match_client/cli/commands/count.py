"""`product-match count`: how many products there are."""

from __future__ import annotations

import argparse
from typing import Any

from product_match_client.cli.arguments import add_command, json_object, open_client
from product_match_client.cli.output import Console


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "count",
        summary="Count products.",
        example='product-match count --filter \'{"price": {"lte": 50}}\'',
    )
    parser.add_argument("--filter", type=json_object, metavar="JSON", help="only products that fit")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Count and print."""
    with open_client(arguments) as client:
        number = client.count(arguments.filter)
    if arguments.json or not console.for_person:
        console.json({"count": number})
    else:
        console.line(f"{number:,}")
    return 0
