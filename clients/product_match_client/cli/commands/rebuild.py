"""`product-match rebuild`: a fresh vector index from the stored embeddings."""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from product_match.contract.errors import ProductMatchError
from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.output import Console
from product_match_client.loading.retrying import until_answered

POLL_S: Final = 0.2
GIVE_UP_AFTER_S: Final = 120.0
"""Longest time without an answer: the rebuild goes on in the server, which may be busy."""


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "rebuild",
        summary="Derive a fresh vector index from the stored embeddings; searches go on meanwhile.",
        example="product-match rebuild",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Start a rebuild, or join the one that is going on, and follow it to the end."""
    stage = ""
    with open_client(arguments) as client:
        state = client.rebuild()
        while state.get("state") == "running":
            if state.get("stage") != stage:
                stage = str(state.get("stage"))
                console.note(f"rebuild: {stage}")
            time.sleep(POLL_S)
            status = until_answered(
                client.status, GIVE_UP_AFTER_S, lambda why: console.note(f"waiting for the server: {why}")
            )
            state = status.get("rebuild", {})
    if state.get("state") != "done":
        raise ProductMatchError(f"the rebuild did not end well ({state}); the old index stays, see the server's log")
    if arguments.json or not console.for_person:
        console.json(state)
    else:
        console.line(", ".join(f"{name} {value}" for name, value in state.items() if name != "state"))
    return 0
