"""`product-match feedback`: what people thought of answers."""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

from product_match.contract.errors import ConfigError
from product_match.contract.feedback import BEST_RATING, EVENTS, LEAST_RATING
from product_match_client.cli.arguments import add_command, describe, open_client, positive_integer, whole_number
from product_match_client.cli.commands.events import add_days, since_days
from product_match_client.cli.output import Console

ALGORITHMS = ("HS256", "EdDSA")


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "feedback",
        summary="Say and report what people thought of answers, and make the keys that sign answers.",
        example='product-match feedback give "$token" 1042 --rating 9\nproduct-match feedback report --days 7\n'
        "product-match feedback export --output judged.jsonl\nproduct-match feedback key keys.json",
        server=False,
    )
    parts = parser.add_subparsers(
        title="what", metavar="WHAT", dest="what", required=True, help="each has its own --help"
    )
    _register_give(parts)
    _register_report(parts)
    _register_export(parts)
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


def _register_report(parts: Any) -> None:
    parser = parts.add_parser("report", help="what people thought, by rank, kind, outcome and encoder")
    describe(
        parser,
        summary="Report what people thought of answers: rates, and the queries that end badly or without a match.",
        example="product-match feedback report\nproduct-match feedback report --days 7 --plot feedback.png --json",
    )
    add_days(parser)
    parser.add_argument(
        "--top", type=positive_integer, default=20, metavar="NUMBER", help="queries in a list (default %(default)s)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw clicks by rank and ratings (png, svg, pdf)")
    parser.set_defaults(run=report)


def _register_export(parts: Any) -> None:
    parser = parts.add_parser("export", help="judged queries from feedback, for `evaluate --queries`")
    describe(
        parser,
        summary="Write queries with what people accepted as a match, for `product-match evaluate --queries`.",
        example="product-match feedback export --output judged.jsonl\n"
        "product-match feedback export --least-people 3 > judged.jsonl",
    )
    add_days(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to (default: standard output)")
    parser.add_argument(
        "--least-people",
        type=positive_integer,
        default=1,
        metavar="NUMBER",
        help="answers in which a product has to be graded (default %(default)s)",
    )
    parser.set_defaults(run=export)


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


def report(arguments: argparse.Namespace, console: Console) -> int:
    """Read events and feedback, and print what they come to."""
    from product_match.evaluation.feedback_report import feedback_report, joined
    from product_match.evaluation.plots import check_plot, plot_feedback
    from product_match_client.cli.evaluation.feedback_tables import print_feedback

    if arguments.plot:
        check_plot(arguments.plot)
    with open_client(arguments) as client:
        events = list(since_days(client, "events", arguments.days))
        answers = joined(events, since_days(client, "feedback", arguments.days))
    errors = (event for event in events if event["type"] == "error")
    found = {"days": arguments.days, **feedback_report(answers, errors, arguments.top)}
    if arguments.plot:
        plot_feedback(found, arguments.plot)
    if arguments.json or not console.for_person:
        console.json(found)
    else:
        print_feedback(found, console)
    return 0


def export(arguments: argparse.Namespace, console: Console) -> int:
    """Read events and feedback, and write the queries that people have judged."""
    from product_match.evaluation.feedback_queries import judged_from_feedback
    from product_match.evaluation.feedback_report import joined

    with open_client(arguments) as client:
        events = [event for event in since_days(client, "events", arguments.days) if event["type"] == "answer"]
        answers = joined(events, since_days(client, "feedback", arguments.days))
    found = judged_from_feedback(events, answers, arguments.least_people)
    lines = "".join(f"{json.dumps(query, ensure_ascii=False)}\n" for query in found.queries)
    if arguments.output is None:
        for line in lines.splitlines():
            console.line(line)
    else:
        try:
            arguments.output.write_text(lines, encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{arguments.output} cannot be written ({error.strerror}); give another --output"
            ) from error
    left_out = "".join(f"; left out: {count:,} ({why})" for why, count in found.left_out.items())
    console.note(f"{len(found.queries):,} judged queries{left_out}")
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
