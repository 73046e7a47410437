"""`product-match status`: what the catalogue holds, and what troubles it."""

from __future__ import annotations

import argparse
from typing import Any

from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.output import Column, Console, cell_text


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "status",
        summary="Show the size of catalogue and index, and what troubles them.",
        example="product-match status",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask, and print."""
    with open_client(arguments) as client:
        status = client.status()
    if arguments.json or not console.for_person:
        console.json(status)
    else:
        columns = (Column(title="what"), Column(title="state", elastic=True))
        console.table(columns, [(name.replace("_", " "), cell_text(value)) for name, value in status.items()])
    return 0
