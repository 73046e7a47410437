"""`product-match index`: load products from any source, or keep a folder indexed."""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path
from typing import Any

from product_match.contract import limits
from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match_client.cli.arguments import (
    add_command,
    positive_integer,
    positive_number,
    server_url,
)
from product_match_client.cli.output import Console
from product_match_client.loading.retrying import FIRST_ANSWER_S
from product_match_client.loading.sources.encodings import check_encoding
from product_match_client.loading.sources.folders import Grouping
from product_match_client.loading.sources.mapping import parse_mapping, with_mapped_names
from product_match_client.loading.sources.opening import FORMATS, open_source
from product_match_client.loading.sources.presets import PRESETS
from product_match_client.loading.sources.prices import locale_decimal_mark

DEFAULT_REJECTS = Path("rejects.jsonl")
BULK_TIMEOUT_S = 60.0


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "index",
        summary="Add and update products from files, folders, URLs, MongoDB or standard input.",
        example="product-match index products.jsonl\n"
        "product-match index shop.csv --map id=product_id,image=image_url\n"
        "product-match index mongodb://localhost:27017/shop.products\n"
        "product-match index rejects.jsonl\n"
        "product-match index --watch photos/",
    )
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="JSONL, JSON, CSV, XML, Excel or Parquet file, gzip or zip of one, folder of images, text file of image "
        "URLs, "
        "mongodb://host/database.collection, or `-` for standard input; a rejects file tries its records again",
    )
    parser.add_argument(
        "--watch", type=Path, metavar="FOLDER", help="index a folder of images, and stay to follow it"
    )
    parser.add_argument("--format", choices=FORMATS, help="what the sources are, where the suffix does not say")
    parser.add_argument(
        "--records",
        default="",
        metavar="PATH",
        help="where in a JSON file the list of products is, such as data.products",
    )
    parser.add_argument(
        "--map",
        type=mapping,
        default={},
        metavar="FIELD=SOURCE,...",
        help="the source's names of product fields, such as id=product_id,image=image_url,price=price.amount; "
        "several photos: image=front,image=back or image=media.*.url",
    )
    parser.add_argument(
        "--group-photos",
        choices=[grouping.value for grouping in Grouping],
        default=Grouping.FILE.value,
        help="which images of a folder show the same product: each file its own (default), those of a folder in it, "
        "or those whose names differ in a number at the end, such as 1042_1.jpg and 1042_2.jpg",
    )
    parser.add_argument(
        "--image-separator",
        default="",
        metavar="TEXT",
        help="what stands between several photos of a product in one field, such as a CSV cell",
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="",
        help="whose feed it is: its fields are named, its rows gathered to products, and HTML made text",
    )
    parser.add_argument(
        "--encoding",
        type=encoding,
        default="",
        metavar="NAME",
        help="how text files are written, such as windows-1252; told by what is in them unless given",
    )
    parser.add_argument(
        "--locale",
        dest="decimal_mark",
        type=decimal_mark,
        default="",
        metavar="LOCALE",
        help="whose prices these are, such as de_DE or en_US: decides what `1.299` means",
    )
    parser.add_argument(
        "--rejects",
        type=Path,
        default=DEFAULT_REJECTS,
        metavar="FILE",
        help="where records go that cannot be loaded, with the reason (default %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="send products that the server holds already, too")
    parser.add_argument("--wait", action="store_true", help="count a product only when it can be found")
    _add_bounds(parser)
    parser.set_defaults(run=run, refuse=parser.error, timeout=BULK_TIMEOUT_S)


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    bounds = parser.add_argument_group("bounds")
    bounds.add_argument(
        "--batch-size",
        type=row_count,
        default=8,
        metavar="NUMBER",
        help=f"products in one request, 1 to {limits.MAX_BATCH_SIZE} (default %(default)s)",
    )
    bounds.add_argument(
        "--concurrency",
        type=positive_integer,
        default=16,
        metavar="NUMBER",
        help="most requests in flight; fewer while the server is busy (default %(default)s)",
    )
    bounds.add_argument(
        "--give-up-after",
        type=positive_number,
        default=600.0,
        metavar="SECONDS",
        help="how long to try again while the server does not answer (default %(default)g)",
    )
    bounds.add_argument(
        "--first-answer",
        type=positive_number,
        default=FIRST_ANSWER_S,
        metavar="SECONDS",
        help="the same for a server that has not answered yet (default %(default)g)",
    )
    bounds.add_argument(
        "--download-timeout",
        type=positive_number,
        default=30.0,
        metavar="SECONDS",
        help="longest time for one photo by URL (default %(default)g)",
    )
    bounds.add_argument(
        "--downloads",
        type=positive_integer,
        default=16,
        metavar="NUMBER",
        help="photos read or fetched at a time (default %(default)s)",
    )
    bounds.add_argument(
        "--allow-private-addresses",
        action="store_true",
        help="fetch photos from private, loopback and link-local addresses too",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Load, and print a summary; 1 if anything was rejected."""
    if bool(arguments.sources) == (arguments.watch is not None):
        arguments.refuse("give one or more sources, or --watch FOLDER")
    # Imported here: they bring aiohttp, which the other commands do without.
    from product_match_client.cli.bulk import BulkLoad, bulk_settings

    url, grouping = server_url(arguments.url, os.environ), Grouping(arguments.group_photos)
    load = BulkLoad(url, bulk_settings(arguments), console)
    if arguments.watch is not None:
        from product_match_client.loading.watching import watch

        return watch(arguments.watch, load, console, grouping=grouping)
    sources = [
        open_source(name, arguments.format, grouping, arguments.records, arguments.encoding, arguments.preset)
        for name in arguments.sources
    ]
    for source in sources:
        if source.read_as:
            console.note(f"{source.name}: not UTF-8, read as {source.read_as}; give --encoding if letters are wrong")
        if note := source.left_out():
            console.note(note)
    counts = [source.count() for source in sources]
    total = None if None in counts else sum(count or 0 for count in counts)
    records = itertools.chain.from_iterable(source.records() for source in sources)
    summary = load.run(with_mapped_names(records, arguments.map), total=total)
    if arguments.json or not console.for_person:
        console.json(summary.to_dict())
    else:
        console.line(summary.text())
    return 1 if summary.rejected else 0


def mapping(text: str) -> dict[str, list[str]]:
    """Read `--map`, for argparse."""
    try:
        return parse_mapping(text)
    except InvalidRequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def encoding(text: str) -> str:
    """Read `--encoding`, for argparse."""
    try:
        return text and check_encoding(text)
    except InvalidRequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def decimal_mark(text: str) -> str:
    """Read `--locale`, for argparse."""
    try:
        return text and locale_decimal_mark(text)
    except (InvalidRequestError, ConfigError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def row_count(text: str) -> int:
    """Read the number of rows in a request, for argparse."""
    value = positive_integer(text)
    if value > limits.MAX_BATCH_SIZE:
        raise argparse.ArgumentTypeError(f"expected at most {limits.MAX_BATCH_SIZE}, got `{text}`")
    return value
