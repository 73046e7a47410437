"""`product-match rules`: what the shop wants shown first or last."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import InvalidRequestError
from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.output import Column, Console

COLUMNS: Final = (
    Column(title="rule", elastic=True),
    Column(title="for", elastic=True),
    Column(title="pinned", elastic=True),
    Column(title="buried", elastic=True),
    Column(title="boosts", right=True),
)


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "rules",
        summary="Show, set or remove the shop's rules: what is shown first or last for a query or in a category.",
        example="product-match rules\nproduct-match rules --set rules.jsonl\nproduct-match rules --remove summer",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--set", dest="source", metavar="FILE", help="rules to add or replace, one a line; `-`: stdin")
    what.add_argument("--remove", metavar="ID", action="append", help="a rule to remove (repeat it for more)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Change rules if asked to, and show those that there are."""
    changed = None if arguments.source is None else read_lines(arguments.source)
    with open_client(arguments) as client:
        if changed is not None:
            rules = client.set_rules(changed)
        elif arguments.remove:
            rules = client.remove_rules(arguments.remove)
        else:
            rules = client.rules()
    if arguments.json or not console.for_person:
        console.json({"rules": rules})
    elif rules:
        console.table(COLUMNS, [_row(rule) for rule in rules])
    else:
        console.line("there are no rules")
    return 0


def read_lines(source: str) -> list[Any]:
    """Return the rules of a file, one a line.

    Raises:
        InvalidRequestError: It cannot be read, or a line is not JSON.
    """
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{source} cannot be read ({error}); give a file of rules, one a line") from error
    rules = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                rules.append(json.loads(line))
            except ValueError as error:
                raise InvalidRequestError(
                    f"{source}, line {number}: not JSON ({error}); write one rule a line"
                ) from error
    return rules


def _row(rule: Mapping[str, Any]) -> tuple[object, ...]:
    query = rule.get("query", [])
    queries = [query] if isinstance(query, str) else query
    asked = [json.dumps(rule["filter"])] if "filter" in rule else []
    lists = (", ".join([*queries, *asked]), ", ".join(rule.get("pin", ())), ", ".join(rule.get("bury", ())))
    return (rule["id"], *lists, len(rule.get("boost", ())))
