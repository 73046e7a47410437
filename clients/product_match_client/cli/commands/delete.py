"""`product-match delete`: removes products by id or by filter."""

from __future__ import annotations

import argparse
from typing import Any

from product_match.contract.errors import NotFoundError
from product_match_client.cli.arguments import add_command, json_object, open_client, read_ids
from product_match_client.cli.output import Console


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "delete",
        summary="Remove products by id or by filter.",
        example="product-match delete 1001 1002\n"
        'product-match delete --filter \'{"brand": "Acme"}\'\n'
        "cut -d, -f1 gone.csv | product-match delete -",
    )
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="product ids; `-` reads them from standard input, one a line"
    )
    parser.add_argument("--filter", type=json_object, metavar="JSON", help="remove the products that fit")
    parser.add_argument("--wait", action="store_true", help="return only when they cannot be found any more")
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Remove and say how many."""
    if bool(arguments.ids) == (arguments.filter is not None):
        arguments.refuse("give ids, or --filter")
    with open_client(arguments) as client:
        if arguments.filter is not None:
            removed = client.delete_matching(arguments.filter, wait=arguments.wait)
        else:
            try:
                removed = client.delete(read_ids(arguments.ids), wait=arguments.wait)
            except NotFoundError:
                removed = 0  # what is not there need not be removed: the same command may run twice
    if arguments.json or not console.for_person:
        console.json({"deleted": removed})
    else:
        console.line(f"{removed:,} removed")
    return 0
