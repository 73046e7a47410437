"""All three in one run on one machine: the server, the limit, and the client-orchestrated pattern.

    python -m benchmarks.float_encoder demo_clip/embedded float.onnx
    python -m benchmarks.yardsticks --encoder demo_clip/embedded --float-encoder float.onnx --out results.json

Starts a stack of its own with the sample catalogue. In each round the three take turns, and the ratios of a round
are of what was measured seconds apart; the report gives the median over the rounds, and every round.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.client_orchestrated import Application, add_float_encoder
from benchmarks.limit import WAYS, Limit
from product_match.contract.encoder import load_encoder
from product_match.contract.products import product_words
from product_match.repository.assembly import assemble_repository
from product_match.stack.local import LocalStack, StackSettings
from product_match_client.bench import processes
from product_match_client.bench.inputs import Inputs, photo_files, varied_photos, varied_texts
from product_match_client.bench.messages import Kind
from product_match_client.bench.runs import Load, Runner, Server
from product_match_client.bench.summaries import summarise
from product_match_client.client import ProductMatchClient
from product_match_client.endpoints import parse_endpoint
from product_match_client.requests import ProductRow

PROJECT = Path(__file__).parents[1]
SAMPLE = PROJECT / "sample_data"
ROWS = 16


def sample_inputs(seed: int, repeats: int = 0) -> Inputs:
    """Return varied photos and words of the sample catalogue."""
    lines = [json.loads(line) for line in (SAMPLE / "products.jsonl").read_text(encoding="utf-8").splitlines()]
    queries = [json.loads(line) for line in (SAMPLE / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    words = [line["name"] for line in lines] + [query["text"] for query in queries if query.get("text")]
    return Inputs(
        photos=varied_photos(photo_files(SAMPLE), 400, seed), texts=varied_texts(words, 40_000, seed), repeats=repeats
    )


def load_catalogue(url: str) -> int:
    """Index the sample catalogue and return the number of products."""
    lines = (SAMPLE / "products.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [
        ProductRow(product=product, image=SAMPLE / product["image"], text=product_words(product))
        for product in map(json.loads, lines)
    ]
    with ProductMatchClient(url, timeout_s=60.0) as client:
        for start in range(0, len(rows), ROWS):
            client.index_batch(rows[start : start + ROWS], wait=True)
    return len(rows)


def best_way(limit: Limit, kind: Kind, inputs: Inputs, seconds: float, numbers: list[int]) -> Any:
    """Return the fastest way to use the cores."""
    reached = {}
    for way in WAYS:
        reached[way], count = limit.throughput(kind, inputs, way, seconds, numbers[0])
        numbers[0] += count + 4 * way.batch
    return max(reached, key=lambda way: reached[way])


def one_round(
    kind: Kind,
    concurrency: int,
    seconds: float,
    parts: tuple[Runner, Server, Limit, Any, Application | None, Inputs, list[int]],
) -> dict[str, Any]:
    """Measure the three in turn."""
    runner, server, limit, way, application, other, numbers = parts
    served = runner.run(server, Load(kind=kind, concurrency=concurrency, seconds=seconds))
    cpu = time.process_time()
    reached, count = limit.throughput(kind, other, way, seconds, numbers[0])
    limit_cpu_ms = (time.process_time() - cpu) / max(count, 1) * 1000
    numbers[0] += count + 4 * way.batch
    found: dict[str, Any] = {
        "served": served.to_json(),
        "limit_per_s": round(reached, 1),
        "limit_cpu_ms": round(limit_cpu_ms, 3),
        "served_over_limit": round(served.throughput / reached, 3),
    }
    if served.server_cpu_ms_per_request:
        found["limit_cpu_over_served_cpu"] = round(limit_cpu_ms / served.server_cpu_ms_per_request, 3)
    if application is not None:
        measured = application.run(kind, other, concurrency=concurrency, seconds=seconds, first=numbers[0])
        numbers[0] += len(measured.latencies_s) + 1000
        pattern = summarise(measured.latencies_s)
        rate = len(measured.latencies_s) / measured.seconds
        found |= {
            "pattern_per_s": round(rate, 1),
            "pattern_ms": pattern.quantiles,
            "throughput_over_pattern": round(served.throughput / rate, 3),
        }
        for name in ("p50", "p99"):
            if name in served.latency.quantiles and name in pattern.quantiles:
                found[f"{name}_over_pattern"] = round(served.latency.quantiles[name] / pattern.quantiles[name], 3)
    return found


def medians(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the median over the rounds of every plain figure."""
    names = {name for found in rounds for name, value in found.items() if isinstance(value, float | int)}
    return {
        name: round(statistics.median(found[name] for found in rounds if name in found), 3) for name in sorted(names)
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    arguments = _parser().parse_args(argv)
    encoder = load_encoder(arguments.encoder)
    results: dict[str, Any] = {"encoder": encoder.identity, "precision": encoder.precision, "kinds": {}}
    with tempfile.TemporaryDirectory(prefix="product-match-yardsticks-") as name:
        scratch = Path(name)
        repository = scratch / "models"
        assemble_repository(PROJECT / "model_repository", encoder, repository)
        if arguments.float_encoder is not None:
            add_float_encoder(repository, encoder, arguments.float_encoder)
        settings = StackSettings(
            encoder_directory=arguments.encoder,
            model_repository=repository,
            state_directory=scratch / "state",
            http_port=0,
            grpc_port=0,
            metrics_port=0,
        )
        started = time.perf_counter()
        with LocalStack(settings) as stack:
            results["cold_start_s"] = round(time.perf_counter() - started, 2)
            http = parse_endpoint(f"http://{stack.endpoints.http}")
            results["products"] = load_catalogue(http.url)
            server = Server(endpoint=http, http=http, pid=stack.endpoints.pid)
            _measure(arguments, results, server, stack.endpoints.mongodb, scratch)
            used = processes.use(processes.process_tree(stack.endpoints.pid)).values()
            results["memory_mb_by_process"] = {use.name: round(use.memory_bytes / 1e6, 1) for use in used}
        shutil.rmtree(scratch / "limit", ignore_errors=True)
    text = json.dumps(results, indent=1) + "\n"
    if arguments.out is not None:
        arguments.out.write_text(text, encoding="utf-8")
    print(json.dumps({kind: found["medians"] for kind, found in results["kinds"].items()}, indent=1))
    return 0


def _measure(
    arguments: argparse.Namespace, results: dict[str, Any], server: Server, mongodb: str, scratch: Path
) -> None:
    seed = random.SystemRandom().randrange(2**31) if arguments.seed is None else arguments.seed
    encoder = load_encoder(arguments.encoder)
    (scratch / "limit").mkdir()
    limit = Limit(arguments.encoder, mongodb, scratch / "limit")
    runner, other, numbers = Runner(sample_inputs(seed)), sample_inputs(seed + 1), [0]
    application = None
    if arguments.float_encoder is not None:
        application = Application(
            encoder,
            arguments.encoder,
            limit.index,
            http=server.endpoint.address,
            mongodb=mongodb,
            database="product_match",
        )
    for kind in (Kind(name) for name in arguments.kind.split(",")):
        way = best_way(limit, kind, other, min(1.0, arguments.seconds), numbers)
        parts = (runner, server, limit, way, application, other, numbers)
        rounds = [one_round(kind, arguments.concurrency, arguments.seconds, parts) for _ in range(arguments.rounds)]
        results["kinds"][kind.value] = {"way": str(way), "medians": medians(rounds), "rounds": rounds}
        print(kind.value, str(way), json.dumps(medians(rounds)), file=sys.stderr, flush=True)
    results["repeated"] = {}
    for kind in (Kind.IMAGE, Kind.TEXT):
        results["repeated"][kind.value] = _repeated(server, runner, kind, seed)
        print("repeated", kind.value, json.dumps(results["repeated"][kind.value]), file=sys.stderr, flush=True)
    limit.close()


def _repeated(server: Server, runner: Runner, kind: Kind, seed: int) -> dict[str, Any]:
    """Compare the p50 of repeated inputs with that of new ones, one at a time, in turns."""
    again = Runner(sample_inputs(seed, repeats=8))
    ratios = []
    for _ in range(3):
        new = runner.run(server, Load(kind=kind, concurrency=1, seconds=3.0, most=300))
        old = again.run(server, Load(kind=kind, concurrency=1, seconds=3.0, most=300))
        ratios.append((old.latency.p50_ms / new.latency.p50_ms, new.latency.p50_ms, old.latency.p50_ms))
    ratio, new_ms, old_ms = sorted(ratios)[1]
    return {"p50_repeated_over_new": round(ratio, 3), "new_ms": round(new_ms, 2), "repeated_ms": round(old_ms, 2)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=Path, default=PROJECT / "demo_clip" / "embedded", help="encoder directory")
    parser.add_argument("--float-encoder", type=Path, help="made by benchmarks.float_encoder; without it no pattern")
    parser.add_argument("--kind", default="image,text,both", help="kinds, with commas (default %(default)s)")
    parser.add_argument("--concurrency", type=int, default=32, help="queries in flight (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default %(default)s)")
    parser.add_argument("--seed", type=int, help="of the inputs (default: another one each time)")
    parser.add_argument("--out", type=Path, help="JSON file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
