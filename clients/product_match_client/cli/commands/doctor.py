"""`product-match doctor`: what is wrong with this machine and the settings, and what to do."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Any

from product_match.contract.errors import ConfigError
from product_match.host.state_layout import DEFAULT_STATE_DIRECTORY
from product_match_client.cli.arguments import add_command
from product_match_client.cli.output import Column, Console


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "doctor",
        summary="Look at this machine, and at the settings in the environment, before a server is started.",
        example="product-match doctor\nproduct-match doctor --gpu",
        server=False,
    )
    parser.add_argument("--gpu", action="store_true", help="a GPU is needed, for TensorRT engines")
    parser.add_argument(
        "--state-dir", type=Path, default=DEFAULT_STATE_DIRECTORY, metavar="DIR", help="(default %(default)s)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print what was found; 1 if something is wrong."""
    try:
        from product_match.preflight.report import State, examine
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"looking at a server needs what serving needs ({error}); install `pip install 'product-match[serving]'`"
        ) from error
    findings = examine(os.environ, gpu=arguments.gpu, state_directory=arguments.state_dir)
    if console.for_person:
        columns = [Column(title=title) for title in ("", "what", "found", "what to do")]
        console.table(columns, [(each.state.value, each.what, each.found, each.advice) for each in findings])
    else:
        console.json([{**dataclasses.asdict(each), "state": each.state.value} for each in findings])
    return int(any(each.state is State.WRONG for each in findings))
