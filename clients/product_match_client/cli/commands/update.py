"""`product-match update`: changes single fields of products; nothing is encoded again."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from product_match.contract.errors import InvalidRequestError
from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.output import Console
from product_match_client.loading.sources.opening import FORMATS, open_source
from product_match_client.loading.sources.prices import with_numbers

PART = 1000


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "update",
        summary="Change single fields of products without encoding anything again.",
        example="product-match update 1001 --set price=39.9 --set color=navy --unset attributes\n"
        "product-match update --from prices.csv",
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="product id")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=assignment,
        metavar="FIELD=VALUE",
        help="a field's value, as JSON or as text",
    )
    parser.add_argument("--unset", action="append", default=[], metavar="FIELD", help="take a field away")
    parser.add_argument(
        "--from", dest="source", metavar="SOURCE", help="JSONL, JSON or CSV of ids and fields, or `-`"
    )
    parser.add_argument("--format", choices=FORMATS, help="what the source is, where the suffix does not say")
    parser.add_argument("--wait", action="store_true", help="return only when searches and filters see the change")
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Update, and say what was done; 1 if a product could not be updated."""
    if (arguments.id is None) == (arguments.source is None):
        arguments.refuse("give a product id, or --from SOURCE")
    if arguments.id is not None and not (arguments.set or arguments.unset):
        arguments.refuse("give --set or --unset")
    counts: dict[str, int] = {"updated": 0, "unchanged": 0, "failed": 0}
    updates = _from_source(arguments) if arguments.source is not None else iter([_from_options(arguments)])
    with open_client(arguments) as client:
        while part := list(itertools.islice(updates, PART)):
            for result in client.update(part, wait=arguments.wait):
                status = result.get("status", "failed")
                counts[status] = counts.get(status, 0) + 1
                if "error" in result:
                    console.note(f"{result.get('id')}: {result.get('message')}")
                elif result.get("stale_words"):
                    fields = ", ".join(result["stale_words"])
                    console.note(f"{result.get('id')}: searches by words still see the old {fields}; index it again")
    if arguments.json or not console.for_person:
        console.json(counts)
    else:
        console.line(", ".join(f"{number:,} {status}" for status, number in counts.items()))
    return 1 if counts["failed"] else 0


def _from_options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {**dict(arguments.set), **dict.fromkeys(arguments.unset), "id": arguments.id}


def _from_source(arguments: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    for record in open_source(arguments.source, arguments.format).records():
        if record.fields is None:
            raise InvalidRequestError(f"{record.source}, line {record.line}: {record.reason}")
        yield with_numbers(record.fields)


def assignment(text: str) -> tuple[str, Any]:
    """Read FIELD=VALUE, for argparse: the value is JSON where it can be read as that, else text."""
    field, equals, value = text.partition("=")
    if not field or not equals:
        raise argparse.ArgumentTypeError(f"expected FIELD=VALUE, got `{text}`")
    try:
        return field, json.loads(value)
    except ValueError:
        return field, value
