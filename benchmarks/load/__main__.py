"""`python -m benchmarks.load`: load on a running server, and what it costs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.load.inputs import Inputs, photo_files, varied_photos, varied_texts
from benchmarks.load.messages import Kind, columns
from benchmarks.load.perf_analyzer import analyse
from benchmarks.load.runs import Load, Runner, RunResult, Server
from benchmarks.load.schedules import Profile
from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.contract.options import MATCH_OPTIONS
from product_match.host.state_layout import DEFAULT_STATE_DIRECTORY, ENDPOINTS_FILE
from product_match_client.cli.arguments import (
    add_options,
    describe,
    positive_integer,
    positive_number,
    server_url,
    whole_number,
)
from product_match_client.cli.command import run_command
from product_match_client.cli.output import Column, Console
from product_match_client.endpoints import Protocol, parse_endpoint
from product_match_client.requests import match_parameters

SAMPLE: Final = Path("sample_data")
DEFAULT_PHOTOS: Final = 400
DEFAULT_TEXTS: Final = 20_000
COLUMNS: Final = tuple(
    Column(title=title, right=title not in ("kind", "over", "load"))
    for title in (
        "kind",
        "over",
        "load",
        "answers/s",
        "p50 ms",
        "p95",
        "p99",
        "p99.9",
        "errors",
        "CPU ms",
        "own",
        "MB",
    )
)

SLICE_COLUMNS: Final = tuple(
    Column(title=title, right=True) for title in ("from s", "requests", "errors", "p50 ms", "p99", "MB")
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    describe(
        parser,
        summary="Put load on a running server and print latency, throughput and cost.",
        example="python -m benchmarks.load --kind image,text --concurrency 1,8,32 --seconds 10\n"
        "python -m benchmarks.load --kind text --protocol grpc --rate 50,100,200 --out results",
    )
    _add_load_options(parser)
    _add_input_options(parser)
    add_options(parser, MATCH_OPTIONS)
    parser.set_defaults(run=run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    return run_command(build_parser, argv)


def _add_load_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kind",
        type=_kinds,
        default=list(Kind),
        help="image, text, both, or several with commas between (default: all three)",
    )
    parser.add_argument(
        "--protocol",
        type=_protocols,
        help="http, grpc or http,grpc (default: that of the server's address, else both)",
    )
    parser.add_argument(
        "--concurrency",
        type=_integers,
        default=[],
        metavar="NUMBERS",
        help="closed loops: requests in flight, such as 1,8,32 (default 1,8,32 without --rate)",
    )
    parser.add_argument(
        "--rate",
        type=_numbers,
        default=[],
        metavar="NUMBERS",
        help="open loops: requests a second at random times, such as 20,40",
    )
    parser.add_argument(
        "--profile",
        choices=[profile.value for profile in Profile],
        default=Profile.STEADY.value,
        help="how the rate of an open loop goes: "
        + "; ".join(f"{profile.value}: {profile.meaning}" for profile in Profile)
        + " (default %(default)s)",
    )
    parser.add_argument(
        "--deadlines",
        action="store_true",
        help="send with each request when nobody waits for it any longer, from --timeout, as the clients do",
    )
    parser.add_argument("--rows", type=positive_integer, default=1, help="queries in one request (default 1)")
    parser.add_argument(
        "--seconds", type=positive_number, default=10.0, help="length of one run (default %(default)g)"
    )
    parser.add_argument(
        "--requests", type=positive_integer, default=100_000, help="most requests in one run (default %(default)s)"
    )
    parser.add_argument("--warm-up", type=whole_number, default=30, help="requests before a run (default 30)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write bench.json, latency.png and latency.svg there")
    parser.add_argument(
        "--perf-analyzer",
        action="store_true",
        help="run NVIDIA's perf_analyzer beside each closed loop, on other inputs of the same kind",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=DEFAULT_STATE_DIRECTORY,
        metavar="DIR",
        help="of the local stack, for both addresses and its processes' CPU and memory (default %(default)s)",
    )


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--photos", type=Path, default=SAMPLE, metavar="DIR", help="photos to vary (default %(default)s)"
    )
    parser.add_argument(
        "--texts",
        type=Path,
        metavar="FILE",
        help="lines to vary (default: names and queries of the sample catalogue)",
    )
    parser.add_argument(
        "--repeats", type=whole_number, default=0, help="send only so many different inputs, again and again"
    )
    parser.add_argument("--seed", type=whole_number, help="of inputs and times (default: another one in each call)")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Run every load and print the figures."""
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    servers = find_servers(arguments)
    console.note(f"making inputs, seed {seed}")
    inputs = make_inputs(arguments, seed)
    results: list[RunResult] = []
    analysed: list[dict[str, Any]] = []
    runner = Runner(inputs)
    for server in servers:
        for load in loads(arguments, seed):
            console.note(f"{load.kind.value} over {server.endpoint.protocol.name.lower()}, {load.label}")
            results.append(runner.run(server, load))
            if arguments.perf_analyzer and load.concurrency is not None:
                analysed.append(second_opinion(server, runner, load, inputs, results[-1]))
    report = {"seed": seed, "runs": [result.to_json() for result in results], "perf_analyzer": analysed}
    if arguments.out is not None:
        write_report(arguments.out, report, results)
    if arguments.json or not console.for_person:
        console.json(report)
    else:
        console.table(COLUMNS, [row(result) for result in results])
        for result in results:
            if result.slices:
                console.table(SLICE_COLUMNS, [list(dataclasses.astuple(part)) for part in result.slices])
        for opinion in analysed:
            console.line(json.dumps(opinion))
    return 1 if any(result.errors for result in results) else 0


def find_servers(arguments: argparse.Namespace) -> list[Server]:
    """Return the server once for each protocol that is asked for.

    Raises:
        ConfigError: A protocol's address is not known.
    """
    given = server_url(arguments.url, os.environ, arguments.state_dir)
    known = {parse_endpoint(given).protocol: parse_endpoint(given)}
    stack = _stack(arguments.state_dir)
    pid = None
    if stack and known[next(iter(known))].address in (stack["http"], stack["grpc"]):
        pid = int(stack["pid"])
        known = {
            Protocol.HTTP: parse_endpoint(f"http://{stack['http']}"),
            Protocol.GRPC: parse_endpoint(f"grpc://{stack['grpc']}"),
        }
    if arguments.protocol is None:
        wanted = list(known) if arguments.url is None else [parse_endpoint(given).protocol]
    else:
        wanted = arguments.protocol
    absent = [protocol.name for protocol in wanted if protocol not in known]
    if absent:
        raise ConfigError(
            f"the server's address for {', '.join(absent)} is not known; give it as --url, such as grpc://host:8001, "
            "or --state-dir of a local stack"
        )
    return [Server(endpoint=known[protocol], http=known.get(Protocol.HTTP), pid=pid) for protocol in wanted]


def _stack(directory: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((directory / ENDPOINTS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{directory / ENDPOINTS_FILE} cannot be read ({error}); give --url") from error
    return found


def make_inputs(arguments: argparse.Namespace, seed: int) -> Inputs:
    """Make the photos and texts that the kinds need."""
    photos: Sequence[bytes] = ()
    texts: Sequence[bytes] = ()
    if any(kind is not Kind.TEXT for kind in arguments.kind):
        photos = varied_photos(photo_files(arguments.photos), DEFAULT_PHOTOS, seed)
    if any(kind is not Kind.IMAGE for kind in arguments.kind):
        texts = varied_texts(list(text_lines(arguments.texts)), DEFAULT_TEXTS, seed)
    return Inputs(photos=photos, texts=texts, repeats=arguments.repeats)


def text_lines(path: Path | None) -> Iterator[str]:
    """Yield lines to vary: of the file, or the names and queries of the sample catalogue.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        if path is not None:
            yield from path.read_text(encoding="utf-8").splitlines()
            return
        for name, field in (("products.jsonl", "name"), ("queries.jsonl", "text")):
            for line in (SAMPLE / name).read_text(encoding="utf-8").splitlines():
                yield json.loads(line).get(field) or ""
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path or SAMPLE} cannot be read ({error}); give a file of lines with --texts") from error


def loads(arguments: argparse.Namespace, seed: int) -> Iterator[Load]:
    """Yield every load that the arguments ask for."""
    chosen = {option.name: getattr(arguments, option.name) for option in MATCH_OPTIONS}
    common = {
        "rows": arguments.rows,
        "seconds": arguments.seconds,
        "most": arguments.requests,
        "warm_up": arguments.warm_up,
        "parameters": match_parameters(chosen),
        "timeout_s": arguments.timeout,
        "seed": seed,
        "profile": Profile(arguments.profile),
        "deadlines": arguments.deadlines,
    }
    in_flight = arguments.concurrency or ([] if arguments.rate else [1, 8, 32])
    for kind in arguments.kind:
        for concurrency in in_flight:
            yield Load(kind=kind, concurrency=concurrency, **common)
        for rate in arguments.rate:
            yield Load(kind=kind, rate=rate, **common)


def second_opinion(server: Server, runner: Runner, load: Load, inputs: Inputs, ours: RunResult) -> dict[str, Any]:
    """Run perf_analyzer like the load that was just run, and compare."""
    if load.rows != 1 or load.parameters:
        raise InvalidRequestError("--perf-analyzer sends one query in a request, without options; leave them out")
    numbers = runner.take(ours.requests)
    result = analyse(
        load.kind.model,
        server.endpoint,
        [columns(load.kind, inputs, number) for number in numbers],
        concurrency=load.concurrency or 1,
        timeout_s=load.seconds * 4 + load.timeout_s,
    )
    compared = {"kind": load.kind.value, "protocol": ours.protocol, **dataclasses.asdict(result)}
    compared["throughput_ratio"] = round(ours.throughput / result.throughput, 3) if result.throughput else None
    compared["p50_ratio"] = round(ours.latency.p50_ms / result.quantiles["p50"], 3)
    return compared


def write_report(directory: Path, report: dict[str, Any], results: Sequence[RunResult]) -> None:
    """Write the JSON and the plots."""
    from benchmarks.load.plot import plot_latency

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bench.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    plot_latency(results, directory, "Latency against rate")


def row(result: RunResult) -> list[object]:
    """Return the cells of one run."""
    latency = result.latency.quantiles
    shown = [round(latency[name], 2) if name in latency else None for name in ("p50", "p95", "p99", "p99.9")]
    return [
        result.kind + (", repeated" if result.repeated else ""),
        result.protocol,
        result.load,
        result.throughput,
        *shown,
        result.errors,
        result.server_cpu_ms_per_request,
        result.load_cpu_ms_per_request,
        result.server_memory_mb,
    ]


def _kinds(text: str) -> list[Kind]:
    try:
        return [Kind(name.strip()) for name in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected image, text or both, got `{text}`") from error


def _protocols(text: str) -> list[Protocol]:
    try:
        return [Protocol[name.strip().upper()] for name in text.split(",")]
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"expected http or grpc, got `{text}`") from error


def _integers(text: str) -> list[int]:
    return [positive_integer(part) for part in text.split(",")]


def _numbers(text: str) -> list[float]:
    return [positive_number(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
