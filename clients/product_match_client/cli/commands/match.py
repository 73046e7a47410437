"""`product-match match`: the products that fit a photo, words, or both."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from product_match.contract.options import MATCH_OPTIONS
from product_match_client.answers import MatchResult
from product_match_client.cli.arguments import add_command, add_options, open_client
from product_match_client.cli.output import Column, Console, price_text
from product_match_client.requests import NOTHING_ELSE_NEEDED, Query

WITHOUT_WEIGHT: Final = -0.5
OPTIONS: Final = [option for option in MATCH_OPTIONS if option.name not in ("compose", "weights")]
"""Options of one row; a query of several terms is made of `--without`."""

COLUMNS = (
    Column(title="rank", right=True),
    Column(title="score", right=True),
    Column(title="sure", right=True),
    Column(title="id", elastic=True),
    Column(title="name", elastic=True),
    Column(title="price", right=True),
    Column(title="category", elastic=True),
)


OUTCOMES: Final = {
    "weak": "nothing fits well; the nearest:",
    "not_stocked": "this is not carried; the nearest:",
    "filters_too_narrow": "nothing fits under this filter, though something does without it; the nearest:",
}


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "match",
        summary="Find the products that fit a photo, words, or both, or that are like others.",
        example='product-match match --image photo.jpg --text "in navy" --top-k 5\n'
        'product-match match --text "running shoes" --filter \'{"price": {"lte": 80}}\' --json\n'
        'product-match match --like 1042 --unlike 1043 --text "in navy"',
    )
    parser.add_argument("--image", metavar="FILE", help="photo to match; `-` reads it from standard input")
    parser.add_argument("--text", metavar="WORDS", help="words to match")
    parser.add_argument(
        "--without",
        metavar="WORDS",
        action="append",
        help=f"words for what is not to be found, such as stripes; counts {-WITHOUT_WEIGHT:g} (repeat it for more)",
    )
    add_options(parser, OPTIONS)
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Match, and print a table or JSON."""
    asked = (arguments.image, arguments.text, *(getattr(arguments, name) for name in NOTHING_ELSE_NEEDED))
    if all(given is None for given in asked):
        arguments.refuse("give --image, --text, or both, or --like, or a --filter to browse")
    options: dict[str, Any] = {option.name: getattr(arguments, option.name) for option in OPTIONS}
    image = sys.stdin.buffer.read() if arguments.image == "-" else arguments.image
    with open_client(arguments) as client:
        if arguments.without:
            terms = [Query(image=image, text=arguments.text), *(Query(text=words) for words in arguments.without)]
            options["weights"] = [1.0, *[WITHOUT_WEIGHT] * len(arguments.without)]
            result = client.compose(terms, **options)
        else:
            result = client.match(image, arguments.text, **options)
    if arguments.json or not console.for_person:
        console.json(dataclasses.asdict(result, dict_factory=said))
    else:
        print_matches(result, console)
    return 0


def said(fields: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields that the server gave; the others are None."""
    return {name: value for name, value in fields if value is not None}


def print_matches(result: MatchResult, console: Console) -> None:
    """Print matches as a table."""
    for typed, taken_for in (result.repaired or {}).items():
        console.line(f'"{typed}" is taken for "{taken_for}"')
    if result.outcome in OUTCOMES:
        console.line(OUTCOMES[result.outcome])
    if not result.matches:
        console.line("no product matches")
        return
    console.table(
        COLUMNS,
        [
            (
                match.rank,
                match.score,
                "" if match.confidence is None else f"{match.confidence:.0%}",
                match.product_id,
                match.product.get("name"),
                price_text(match.product),
                match.product.get("category"),
            )
            for match in result.matches
        ],
    )
    for field, counted in (result.facets or {}).items():
        console.line(f"{field}: {facet_text(counted)}")


def facet_text(counted: Mapping[str, Any]) -> str:
    """Return what was counted of a field, in one line."""
    if "values" in counted:
        return ", ".join(f"{entry['value']} ({entry['count']})" for entry in counted["values"]) or "none"
    if "least" in counted:
        return f"{counted['least']} to {counted['greatest']} ({counted['products']})"
    return "none"
