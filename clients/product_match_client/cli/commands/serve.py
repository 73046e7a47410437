"""`product-match serve`: the local stack, up until Ctrl-C."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ConfigError
from product_match.host.state_layout import DEFAULT_STATE_DIRECTORY
from product_match_client.cli.arguments import add_command, positive_integer, whole_number
from product_match_client.cli.output import Console

WORDS_KEPT: Final = ("kept", "hashed", "left_out")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
"""What events hold of words; see `settings.WordsKept`."""


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "serve",
        summary="Start Triton and both stores on this machine, and stay until Ctrl-C.",
        example="product-match serve --state-dir .state --http-port 8000",
        server=False,
    )
    add_stack_options(parser)
    parser.add_argument("--sample", action="store_true", help="load the sample catalogue first")
    parser.set_defaults(run=run)


def add_stack_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the local stack."""
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=DEFAULT_STATE_DIRECTORY,
        metavar="DIR",
        help="where everything is kept (default %(default)s)",
    )
    parser.add_argument(
        "--encoder",
        type=Path,
        metavar="DIR",
        help="what `ensemble-builder build` made (default: the catalogue's own, the shipped one for a new one)",
    )
    parser.add_argument(
        "--model-repository",
        type=Path,
        metavar="DIR",
        help="the models that Triton is given for the encoder (default: the installed ones)",
    )
    parser.add_argument(
        "--sample-data",
        type=Path,
        metavar="DIR",
        help="a sample catalogue of your own (default: the shipped one)",
    )
    for name, port, what in (
        ("http", 8000, "Triton's HTTP"),
        ("grpc", 8001, "Triton's gRPC"),
        ("metrics", 8002, "Triton's metrics"),
        ("mongodb", 0, "the document store"),
    ):
        parser.add_argument(
            f"--{name}-port",
            type=whole_number,
            default=port,
            metavar="PORT",
            help=f"port of {what}, 0 to pick a free one (default %(default)s)",
        )
    parser.add_argument(
        "--encoder-threads",
        type=whole_number,
        default=0,
        metavar="NUMBER",
        help="ONNX Runtime threads of each encoder (default: as many as it chooses)",
    )
    parser.add_argument(
        "--observe",
        action="store_true",
        help="have the models tell what they do: metrics, logs of JSON lines, and an event log (docs/operate.md)",
    )
    parser.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default="info",
        help="with --observe, the least level of the logs' JSON lines (default %(default)s)",
    )
    parser.add_argument(
        "--trace-url",
        default="",
        metavar="URL",
        help="send traces to this receiver of OTLP over HTTP, such as http://localhost:4318 (default: none)",
    )
    parser.add_argument(
        "--trace-every",
        type=positive_integer,
        default=1000,
        metavar="NUMBER",
        help="trace one request in so many, besides those that come with a `traceparent` (default %(default)s)",
    )
    parser.add_argument(
        "--event-log",
        nargs="?",
        const=WORDS_KEPT[0],
        choices=WORDS_KEPT,
        metavar="WORDS",
        help=f"keep an event of each answer and error, with the words {', '.join(WORDS_KEPT)} "
        f"(default: no events; alone, or with --observe: {WORDS_KEPT[0]})",
    )
    parser.add_argument(
        "--event-uri",
        default="",
        metavar="URI",
        help="a MongoDB for events and feedback (default: the document store of the state directory)",
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Start, print the endpoints, and stay."""
    with open_stack(arguments, console) as stack:
        if arguments.sample:
            from product_match_client.cli.samples import load_sample, sample_folder

            folder = sample_folder(arguments.sample_data)
            console.note(load_sample(stack.endpoints.http, folder, console).text())
        for name in ("http", "grpc", "metrics", "mongodb"):
            console.line(f"{name:<8} {getattr(stack.endpoints, name)}")
        console.line(f"{'encoder':<8} {stack.endpoints.encoder}")
        console.line(f"{'state':<8} {arguments.state_dir.resolve()}")
        console.flush()
        console.note("serving; Ctrl-C stops")
        stack.wait()
    return 0


def open_stack(arguments: argparse.Namespace, console: Console) -> Any:
    """Return the local stack that the arguments describe, not yet started.

    Raises:
        ConfigError: The serving code is not installed, or a directory is missing.
    """
    try:
        from product_match.encoder_change.generations import read_generations
        from product_match.repository.shipped import shipped_adapters, shipped_encoder
        from product_match.settings import WordsKept
        from product_match.stack.local import LocalStack
        from product_match.stack.settings import StackSettings
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the local stack needs more than the client ({error}); install it with "
            '`pip install "product-match[embedded]"`'
        ) from error
    words_kept = arguments.event_log or (WORDS_KEPT[0] if arguments.observe else None)
    current = read_generations(arguments.state_dir).current
    kept = current.directory if current is not None else None
    settings = StackSettings(
        encoder_directory=arguments.encoder or (kept if kept is not None and kept.is_dir() else shipped_encoder()),
        encoder_is_default=arguments.encoder is None,
        adapters=arguments.model_repository or shipped_adapters(),
        state_directory=arguments.state_dir,
        http_port=arguments.http_port,
        grpc_port=arguments.grpc_port,
        metrics_port=arguments.metrics_port,
        mongodb_port=arguments.mongodb_port,
        encoder_threads=arguments.encoder_threads,
        observe=arguments.observe,
        log_level=arguments.log_level,
        trace_url=arguments.trace_url,
        trace_every=arguments.trace_every,
        event_words=WordsKept(words_kept) if words_kept else None,
        event_uri=arguments.event_uri,
    )
    return LocalStack(settings, progress=console.note)
