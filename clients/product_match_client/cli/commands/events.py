"""`product-match events`: what was asked and answered, where an event log is kept."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from product_match_client.cli.arguments import add_command, describe, open_client, positive_integer, positive_number
from product_match_client.cli.output import Column, Console
from product_match_client.client import ProductMatchClient

DAY_S: Final = 86_400
COLUMNS: Final = (
    Column(title="at"),
    Column(title="kind"),
    Column(title="outcome"),
    Column(title="words", elastic=True),
    Column(title="first"),
    Column(title="sure", right=True),
)


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "events",
        summary="Show what was asked and answered, or remove what is kept of a person.",
        example="product-match events list --days 1\nproduct-match events forget --person customer-4711",
        server=False,
    )
    parts = parser.add_subparsers(
        title="what", metavar="WHAT", dest="what", required=True, help="each has its own --help"
    )
    shows = parts.add_parser("list", help="show events, the oldest first")
    describe(
        shows,
        summary="Show events, the oldest first; in a pipe one JSON object a line.",
        example="product-match events list --days 0.5\nproduct-match events list --collection feedback --days 7",
    )
    shows.add_argument("--collection", choices=("events", "feedback"), default="events", help="(default %(default)s)")
    add_days(shows)
    shows.add_argument("--limit", type=positive_integer, metavar="NUMBER", help="how many (default: all)")
    shows.set_defaults(run=show)
    forgets = parts.add_parser("forget", help="remove what is kept of a person")
    describe(
        forgets,
        summary="Remove events and feedback of a person; exit 0 also where nothing is kept of them.",
        example="product-match events forget --person customer-4711",
    )
    forgets.add_argument(
        "--person", required=True, metavar="KEY", help="what searches were sent with as their option `person`"
    )
    forgets.set_defaults(run=forget)


def add_days(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how far back to look."""
    parser.add_argument(
        "--days", type=positive_number, default=30.0, metavar="NUMBER", help="how far back (default %(default)g)"
    )


def show(arguments: argparse.Namespace, console: Console) -> int:
    """Read and print."""
    with open_client(arguments) as client:
        found = itertools.islice(since_days(client, arguments.collection, arguments.days), arguments.limit)
        if arguments.json or not console.for_person:
            for event in found:
                console.json_line(event)
        else:
            console.table(COLUMNS, [_row(event) for event in found])
    return 0


def forget(arguments: argparse.Namespace, console: Console) -> int:
    """Remove, and say how much."""
    with open_client(arguments) as client:
        removed = client.forget_person(arguments.person)
    if arguments.json or not console.for_person:
        console.json({"removed": removed})
    else:
        console.line(", ".join(f"{number:,} of {name}" for name, number in removed.items()) + " removed")
    return 0


def since_days(client: ProductMatchClient, collection: str, days: float) -> Iterator[Mapping[str, Any]]:
    """Yield the events of the last `days`, page after page."""
    page = client.events(collection, since=max(0.0, time.time() - days * DAY_S))
    yield from page.events
    while page.next is not None:
        page = client.events(collection, after=page.next)
        yield from page.events


def _row(event: Mapping[str, Any]) -> tuple[object, ...]:
    first: Mapping[str, Any] = next(iter(event.get("results", [])), {})
    confidence = first.get("confidence")
    return (
        event["at"][:19].replace("T", " "),
        event.get("kind") or event.get("model"),
        event.get("outcome") or event.get("code"),
        event.get("words") or event.get("message") or event.get("event"),
        first.get("id") or event.get("product_id"),
        "" if confidence is None else f"{confidence:.0%}",
    )
