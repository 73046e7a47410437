"""`product-match rollback`: back to the encoder before the last `reindex`."""

from __future__ import annotations

import argparse
from typing import Any

from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.encoder_changes import follow, show
from product_match_client.cli.output import Console


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "rollback",
        summary="Go back to the encoder before the last `reindex`; what changed since is embedded with it first.",
        example="product-match rollback",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask for it, or join the one that is going on, and follow it to the end."""
    with open_client(arguments) as client:
        change = follow(client, client.rollback(), console)
    show(change, console, as_json=arguments.json)
    return 0
