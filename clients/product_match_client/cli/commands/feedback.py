"""`product-match feedback`: what people thought of answers."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path
from typing import Any

from product_match.contract.errors import ConfigError
from product_match.contract.feedback import BEST_RATING, EVENTS, LEAST_RATING
from product_match_client.cli.arguments import add_command, describe, open_client, whole_number
from product_match_client.cli.output import Console

ALGORITHMS = ("HS256", "EdDSA")


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "feedback",
        summary="Say what a person thought of an answer, and make the keys that sign answers.",
        example='product-match feedback give "$token" 1042 --rating 9\nproduct-match feedback key keys.json',
        server=False,
    )
    parts = parser.add_subparsers(
        title="what", metavar="WHAT", dest="what", required=True, help="each has its own --help"
    )
    _register_give(parts)
    _register_key(parts)


def _register_give(parts: Any) -> None:
    parser = parts.add_parser("give", help="say what a person thought of a product of an answer")
    describe(
        parser,
        summary="Say what a person thought of a product of an answer; the same twice counts once.",
        example='product-match feedback give "$token" 1042 --rating 9\n'
        'product-match feedback give "$token" 1042 --event purchase',
    )
    parser.add_argument("token", metavar="TOKEN", help="`feedback_token` of the answer")
    parser.add_argument("product_id", metavar="ID", help="id of a match of that answer")
    said = parser.add_mutually_exclusive_group(required=True)
    said.add_argument(
        "--rating", type=int, metavar="NUMBER", help=f"from {LEAST_RATING} (wrong) to {BEST_RATING} (just right)"
    )
    said.add_argument("--event", choices=EVENTS, help="what the person did or said")
    parser.set_defaults(run=give)


def _register_key(parts: Any) -> None:
    parser = parts.add_parser(
        "key", help="make a key that signs answers, or put a new one in front of those of a file"
    )
    describe(
        parser,
        summary="Make a file with a key that signs answers, or put a new key in front of those that it holds.",
        example="product-match feedback key keys.json\n"
        "product-match feedback key keys.json --algorithm EdDSA --keep 1",
        server=False,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a JSON Web Key Set, for its owner only")
    parser.add_argument(
        "--algorithm", choices=ALGORITHMS, default=ALGORITHMS[0], help="how it signs (default %(default)s)"
    )
    parser.add_argument("--id", metavar="NAME", help="its `kid` (default: today's date)")
    parser.add_argument(
        "--keep",
        type=whole_number,
        default=2,
        metavar="NUMBER",
        help="keys before it that stay, so that tokens of theirs are taken (default %(default)s)",
    )
    parser.set_defaults(run=make_key)


def give(arguments: argparse.Namespace, console: Console) -> int:
    """Send what was said."""
    with open_client(arguments) as client:
        receipt = client.feedback(
            token=arguments.token, product_id=arguments.product_id, rating=arguments.rating, event=arguments.event
        )
    if arguments.json or not console.for_person:
        console.json({"status": receipt.status, "message": receipt.message})
    else:
        console.line(receipt.message or receipt.status)
    return 0


def make_key(arguments: argparse.Namespace, console: Console) -> int:
    """Put a new key in front of those of a file."""
    try:
        from product_match.feedback.keys import put_key_in_front
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"keys need more than the client ({error}); install it with `pip install 'product-match[serving]'`"
        ) from error
    ids = put_key_in_front(
        arguments.file, arguments.algorithm, arguments.id or date.today().isoformat(), kept=arguments.keep
    )
    console.line(f"{arguments.file}: {ids[0]} signs; believed are {', '.join(ids)}")
    return 0
