"""`product-match demo`: starts everything, loads the sample, asks three questions, stops."""

from __future__ import annotations

import argparse
from typing import Any, Final

from product_match_client.cli.arguments import add_command
from product_match_client.cli.commands.match import print_matches
from product_match_client.cli.commands.serve import add_stack_options, open_stack
from product_match_client.cli.output import Console
from product_match_client.client import ProductMatchClient

TOP_K: Final = 5


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "demo",
        summary="Start everything, load the sample catalogue, match a photo, words and both, and stop.",
        example="product-match demo --http-port 0",
        server=False,
    )
    add_stack_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Show the whole of it once."""
    from product_match_client.cli.samples import load_sample, sample_folder, sample_queries

    folder = sample_folder(arguments.sample_data)
    queries = sample_queries(folder)
    with open_stack(arguments, console) as stack:
        address = stack.endpoints.http
        summary = load_sample(address, folder, console)
        console.note(summary.text())
        if summary.rejected:
            return 1
        with ProductMatchClient(address) as client:
            for query in queries:
                result = client.match(query.image, query.text, top_k=TOP_K)
                console.line()
                console.line(query.title())
                console.line()
                print_matches(result, console)
                console.line()
                console.line(query.curl(address, TOP_K))
        console.line()
        console.flush()
    return 0
