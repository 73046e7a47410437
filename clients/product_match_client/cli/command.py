"""The `product-match` command: reads the arguments, runs one command, and turns errors into one line."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from product_match.contract.errors import ProductMatchError

PROGRAM: Final = "product-match"
COMMANDS: Final = (
    "demo",
    "serve",
    "match",
    "index",
    "update",
    "delete",
    "get",
    "list",
    "count",
    "export",
    "rules",
    "status",
    "capabilities",
    "evaluate",
    "feedback",
    "events",
    "verify",
    "rebuild",
    "reindex",
    "rollback",
    "drop",
    "key",
    "secrets",
    "doctor",
)
DONE, FAILED, INTERRUPTED = 0, 1, 130
INSTALL: Final = "install it with `pip install 'product-match[cli]'`"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Match products by photo and words on a Product Match server.",
        epilog="exit codes: 0 done, 1 failed, 2 wrong use. `product-match COMMAND --help` says more.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('product-match')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for name in COMMANDS:
        importlib.import_module(f"product_match_client.cli.commands.{name}").register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see run_command for what it returns."""
    return run_command(build_parser, argv)


def run_command(make_parser: Callable[[], argparse.ArgumentParser], argv: Sequence[str] | None) -> int:
    """Read arguments, run what they name, and turn errors into one line.

    Args:
        make_parser: Returns a parser whose result has `run`, a function of the arguments and a console.
        argv: Arguments; those of the process unless given.

    Returns:
        0 done, 1 failed, 2 wrong use, 130 interrupted.
    """
    try:
        from product_match_client.cli.output import Console
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{PROGRAM}: the command line needs more than the library ({error}); {INSTALL}\n")
        return FAILED
    console = Console(sys.stdout, sys.stderr)
    arguments = argparse.Namespace(verbose=False)
    try:
        arguments = make_parser().parse_args(argv)
        if arguments.verbose:
            logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        code: int = arguments.run(arguments, console)
        console.flush()
        return code
    except SystemExit as stop:  # argparse has said what is wrong, or has printed the help
        return int(stop.code or 0)
    except ProductMatchError as error:
        if arguments.verbose:
            console.note(traceback.format_exc().rstrip())
        console.note(f"{PROGRAM}: {error}")
        return FAILED
    except BrokenPipeError:
        # The reader went away (`| head`): what is still buffered must not be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        console.note(f"{PROGRAM}: interrupted")
        return INTERRUPTED
