"""`product-match get`: products by id."""

from __future__ import annotations

import argparse
from typing import Any

from product_match_client.cli.arguments import add_command, open_client, read_ids
from product_match_client.cli.commands.list import print_products
from product_match_client.cli.output import Console


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "get",
        summary="Show products by id; exit 1 when one is not there.",
        example="product-match get 1001 1002 --json",
    )
    parser.add_argument(
        "ids", nargs="+", metavar="ID", help="product ids; `-` reads them from standard input, one a line"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read and print."""
    ids = read_ids(arguments.ids)
    with open_client(arguments) as client:
        entries = client.get(ids)
    if arguments.json or not console.for_person:
        console.json(entries)
    else:
        print_products(entries, console)
    unknown = sorted(set(ids) - {entry["id"] for entry in entries})
    if unknown:
        console.note(f"not in the catalogue: {', '.join(unknown[:20])}")
    return 1 if unknown else 0
