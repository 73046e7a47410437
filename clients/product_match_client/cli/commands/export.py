"""`product-match export`: the whole catalogue as JSON Lines, which `index` takes back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from product_match.contract.errors import ConfigError
from product_match_client.cli.arguments import add_command, json_object, open_client
from product_match_client.cli.commands.list import pages
from product_match_client.cli.output import Console
from product_match_client.cli.progress import Progress
from product_match_client.client import ProductMatchClient
from product_match_client.photos import IMAGE_BASE64, QUERY_TEXT

PHOTOS_AT_A_TIME = 50


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "export",
        summary="Write every product, with its words and its photos, as JSON Lines that `index` takes back.",
        example="product-match export --output catalogue.jsonl\n"
        "product-match export --no-photos | gzip > fields.jsonl.gz",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--filter", type=json_object, metavar="JSON", help="only products that fit")
    parser.add_argument("--no-photos", action="store_true", help="leave the photos out")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Write every product."""
    if arguments.output is None:
        with open_client(arguments) as client:
            _export(client, arguments, console, console.json_line)
        return 0
    partial = Path(f"{arguments.output}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file, open_client(arguments) as client:
            _export(client, arguments, console, Console(file, console.progress.file).json_line)
        partial.replace(arguments.output)
    except OSError as error:
        raise ConfigError(f"{partial} cannot be written ({error.strerror}); give another --output") from error
    return 0


def _export(client: ProductMatchClient, arguments: argparse.Namespace, console: Console, write: Any) -> None:
    with Progress(console, "export", total=client.count(arguments.filter)) as progress:
        for page in pages(client, arguments.filter, "", export=True):
            for start in range(0, len(page), PHOTOS_AT_A_TIME):
                entries = page[start : start + PHOTOS_AT_A_TIME]
                digests = sorted({entry["image_sha256"] for entry in entries if entry.get("image_sha256")})
                photos = {} if arguments.no_photos else client.images(digests)
                for entry in entries:
                    write(_line(entry, photos))
                progress.advance(done=len(entries))


def _line(entry: Any, held: dict[str, list[str]]) -> dict[str, Any]:
    """Return one product as `index` reads it: the words always, so that none are made up on the way back."""
    line = {**entry["product"], QUERY_TEXT: entry.get("query_text", "")}
    photos = held.get(entry.get("image_sha256", ""))
    return line if photos is None else {**line, IMAGE_BASE64: photos[0] if len(photos) == 1 else photos}
