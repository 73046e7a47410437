"""`product-match capabilities`: what a server takes, and within which limits."""

from __future__ import annotations

import argparse
from typing import Any

from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.output import Column, Console


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "capabilities",
        summary="Show the options, filters and limits of a server; in a pipe its models and encoder too.",
        example="product-match capabilities\nproduct-match capabilities | jq .limits",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask, and print."""
    with open_client(arguments) as client:
        found = client.capabilities()
    if arguments.json or not console.for_person:
        console.json(found)
        return 0
    console.table(
        (*(Column(title=title) for title in ("option", "type", "range")), Column(title="meaning", elastic=True)),
        [(option["name"], option["type"], _range(option), option["meaning"]) for option in found["options"]],
    )
    console.table(
        (Column(title="filter on"), Column(title="type"), Column(title="operators", elastic=True)),
        [(name, field["type"], ", ".join(field["operators"])) for name, field in found["filters"].items()],
    )
    console.table(
        (Column(title="limit", elastic=True), Column(title="value", right=True)),
        [(name.replace("_", " "), f"{value:,}") for name, value in found["limits"].items()],
    )
    return 0


def _range(option: dict[str, Any]) -> str:
    if "choices" in option:
        return ", ".join(option["choices"])
    return f"{option['minimum']:g} to {option['maximum']:g}" if "minimum" in option else ""
