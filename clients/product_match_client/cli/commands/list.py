"""`product-match list`: the products of the catalogue, a page or all of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from product_match_client.cli.arguments import add_command, json_object, open_client, positive_integer
from product_match_client.cli.output import Column, Console, price_text
from product_match_client.client import ProductMatchClient

PAGE = 500
COLUMNS = (
    Column(title="id", elastic=True),
    Column(title="rev", right=True),
    Column(title="name", elastic=True),
    Column(title="price", right=True),
    Column(title="category", elastic=True),
    Column(title="updated"),
)


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "list",
        summary="List products in the order of their ids.",
        example='product-match list --limit 20\nproduct-match list --filter \'{"category": "Shoes"}\' --all',
    )
    parser.add_argument("--filter", type=json_object, metavar="JSON", help="only products that fit")
    parser.add_argument("--after", default="", metavar="ID", help="start after this id")
    parser.add_argument(
        "--limit", type=positive_integer, default=100, metavar="NUMBER", help="how many (default %(default)s)"
    )
    parser.add_argument("--all", action="store_true", help="all of them; JSON then is one object a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Read and print."""
    as_json = arguments.json or not console.for_person
    with open_client(arguments) as client:
        if arguments.all:
            for entries in pages(client, arguments.filter, arguments.after):
                if as_json:
                    for entry in entries:
                        console.json_line(entry)
                else:
                    print_products(entries, console)
            return 0
        page = client.list_products(arguments.filter, after=arguments.after, limit=arguments.limit)
    if as_json:
        console.json({"products": page.products, "next": page.next})
    else:
        print_products(page.products, console)
        if page.next is not None:
            console.note(f"more: --after {page.next}, or --all")
    return 0


def pages(
    client: ProductMatchClient, product_filter: Mapping[str, Any] | None, after: str, *, export: bool = False
) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Yield page after page to the end of the catalogue."""
    read = client.export_products if export else client.list_products
    going_on: str | None = after
    while going_on is not None:
        page = read(product_filter, after=going_on, limit=PAGE)
        yield page.products
        going_on = page.next


def print_products(entries: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print products as a table."""
    console.table(
        COLUMNS,
        [
            (
                entry["id"],
                entry.get("rev"),
                entry["product"].get("name"),
                price_text(entry["product"]),
                entry["product"].get("category"),
                str(entry.get("updated_at", ""))[:19].replace("T", " "),
            )
            for entry in entries
        ],
    )
