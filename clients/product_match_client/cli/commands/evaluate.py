"""`product-match evaluate`: how well a running server finds what a person would accept."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ConfigError
from product_match.contract.options import MATCH_OPTIONS
from product_match_client.cli.arguments import (
    add_command,
    add_options,
    credentials,
    open_client,
    positive_integer,
    server_url,
)
from product_match_client.cli.output import Console

PARTS: Final = ("test", "validation", "train", "all")
DEPTH: Final = 10
OF_EACH_QUERY: Final = frozenset(
    {"top_k", "offset", "fields", "filter", "like", "unlike", "facets", "compose", "weights", "explain"}
)
"""Options that the queries or the measures decide; a person may set the others for all queries."""

RUN_OPTIONS: Final = [option for option in MATCH_OPTIONS if option.name not in OF_EACH_QUERY]


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "evaluate",
        summary="Measure how well a running server matches: on judged queries, or on labelled photos.",
        example="product-match evaluate --queries sample_data/queries.jsonl --save today.json --plot today.png\n"
        "product-match evaluate --queries sample_data/queries.jsonl --against today.json\n"
        "product-match evaluate --images photos/ --part all --json > report.json",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--queries", type=Path, metavar="FILE", help="judged queries, JSON Lines: asked as the catalogue stands"
    )
    what.add_argument(
        "--images", type=Path, metavar="DIR", help="folder with images/ and images.csv (columns image and label)"
    )
    judged = parser.add_argument_group("with --queries")
    judged.add_argument(
        "--save", type=Path, metavar="FILE", help="keep the answers, to compare a later run with them"
    )
    judged.add_argument("--against", type=Path, metavar="FILE", help="compare with a saved run, query by query")
    judged.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw reliability and false matches (png, svg, pdf)"
    )
    judged.add_argument(
        "--depth",
        type=positive_integer,
        default=DEPTH,
        metavar="NUMBER",
        help=f"matches to ask for, from {DEPTH}; recall and MRR are measured at it (default %(default)s)",
    )
    judged.add_argument(
        "--no-baselines", action="store_true", help="leave out exact words alone and one vector alone"
    )
    add_options(judged, RUN_OPTIONS)
    photos = parser.add_argument_group("with --images")
    photos.add_argument(
        "--part",
        choices=PARTS,
        default="test",
        help="part of the fixed split by file names: the default encoder never saw `test` (default %(default)s)",
    )
    photos.add_argument(
        "--template", default="{}", metavar="WORDS", help="words for a label, {} in its place (default %(default)s)"
    )
    photos.add_argument("--no-copies", action="store_true", help="leave out the search for changed copies")
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Measure, and print the figures."""
    return run_images(arguments, console) if arguments.images else run_queries(arguments, console)


def run_queries(arguments: argparse.Namespace, console: Console) -> int:
    """Measure on judged queries."""
    from product_match.evaluation.plots import check_plot, plot_judged
    from product_match.evaluation.runs import read_run
    from product_match_client.cli.evaluation.judged_queries import JudgedEvaluation, queries_of
    from product_match_client.cli.evaluation.questions import Questions
    from product_match_client.cli.evaluation.tables import print_judged

    if arguments.depth < DEPTH:
        arguments.refuse(f"--depth: expected {DEPTH} or more, got {arguments.depth}: nDCG@10 looks at ten matches")
    # All that can be wrong with the files, before the minutes of asking.
    queries = queries_of(arguments.queries)
    saved = read_run(_text_of(arguments.against), str(arguments.against)) if arguments.against else None
    for place in filter(None, (arguments.save, arguments.plot)):
        if not place.parent.is_dir():
            raise ConfigError(
                f"{place} cannot be written: {place.parent} is no folder; make it, or name another place"
            )
    if arguments.plot:
        check_plot(arguments.plot)
    given = {option.name: getattr(arguments, option.name) for option in RUN_OPTIONS}
    options = {name: value for name, value in given.items() if value is not None}
    with open_client(arguments) as client:
        questions = Questions(client=client, console=console)
        evaluation = JudgedEvaluation(questions, arguments.queries, options, arguments.depth)
        answered = evaluation.run(queries)
        if arguments.save:
            _write(arguments.save, json.dumps(answered.as_json()))
        report = evaluation.report(queries, answered, naive=not arguments.no_baselines, saved=saved)
    if arguments.plot:
        plot_judged(report, arguments.plot)
    if arguments.json or not console.for_person:
        console.json(report)
    else:
        print_judged(report, console)
    return 0


def run_images(arguments: argparse.Namespace, console: Console) -> int:
    """Measure on labelled photos."""
    from product_match.evaluation.split import Part
    from product_match_client.cli.bulk import BulkLoad, BulkSettings
    from product_match_client.cli.evaluation.labelled_photos import PhotoEvaluation, labelled_photos
    from product_match_client.cli.evaluation.tables import print_photos
    from product_match_client.loading.loader import LoadSettings

    parts = list(Part) if arguments.part == "all" else [Part(arguments.part)]
    photos = labelled_photos(arguments.images, parts)
    settings = BulkSettings(
        load=LoadSettings(wait=True),
        timeout_s=arguments.timeout,
        credentials=credentials(arguments, os.environ),
    )
    load = BulkLoad(server_url(arguments.url, os.environ), settings, console)
    with open_client(arguments) as client:
        evaluation = PhotoEvaluation(client, load, console, arguments.images)
        report = evaluation.run(photos, arguments.template, not arguments.no_copies)
    report = {"folder": str(arguments.images), "part": arguments.part, **report}
    if arguments.json or not console.for_person:
        console.json(report)
    else:
        print_photos(report, console)
    return 0


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); give a run that --save has kept") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); give another place for --save") from error
