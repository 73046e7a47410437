"""All three in one run on one machine: the server, the limit, and the client-orchestrated pattern.

    python -m benchmarks.float_encoder default_encoder/embedded float.onnx
    python -m benchmarks.yardsticks --encoder default_encoder/embedded --float-encoder float.onnx --out results.json

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

from benchmarks.client_orchestrated import WARM_UP_S, Reads, add_float_encoder
from benchmarks.limit import Limit, Way
from benchmarks.load import processes
from benchmarks.load.inputs import Inputs, photo_files, varied_photos, varied_texts
from benchmarks.load.messages import Kind
from benchmarks.load.runs import Load, Runner, Server
from benchmarks.load.summaries import summarise
from benchmarks.pattern_processes import Deployment, Processes
from product_match.contract.encoder import load_encoder
from product_match.contract.products import product_words
from product_match.repository.assembly import assemble_repository
from product_match.stack.local import LocalStack
from product_match.stack.settings import StackSettings
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


class Round:
    """What takes turns: the server, the limit, and the client-orchestrated pattern in its two forms."""

    def __init__(
        self, server: Server, runner: Runner, limit: Limit, pattern: Processes | None, other: Inputs
    ) -> None:
        """Measure `server` with `runner`, and the others on `other` inputs."""
        self._server, self._runner, self._limit, self._pattern, self._other = server, runner, limit, pattern, other
        self._next = 0

    def choose(self, kind: Kind) -> tuple[list[Way], dict[Reads, int]]:
        """Return the best two ways of the limit, and the best number of the application's processes."""
        ways, self._next = self._limit.best_ways(kind, self._other, 0.5, self._next)
        counts = {}
        if self._pattern is not None:
            for reads in Reads:
                rates = {count: self._application(kind, reads, count, 32, 2.0)["per_s"] for count in (1, 2)}
                counts[reads] = max(rates, key=lambda count: rates[count])
        return ways, counts

    def run(
        self, kind: Kind, concurrency: int, seconds: float, chosen: tuple[list[Way], dict[Reads, int]]
    ) -> dict[str, Any]:
        """Measure one round."""
        served = self._runner.run(self._server, Load(kind=kind, concurrency=concurrency, seconds=seconds))
        ways, counts = chosen
        # The load is part of this process, which is the root of the server's: its own time is taken off.
        served_cpu_ms = (served.server_cpu_ms_per_request or 0.0) - served.load_cpu_ms_per_request
        found: dict[str, Any] = {"served": served.to_json(), "served_per_s": served.throughput}
        found["served_cpu_ms"] = round(served_cpu_ms, 3)
        limits = [self._limited(kind, way, seconds / len(ways)) for way in ways]
        found["limit_per_s"], found["limit_cpu_ms"] = max(limits)
        found["served_over_limit"] = round(served.throughput / found["limit_per_s"], 3)
        found["limit_cpu_over_served_cpu"] = round(found["limit_cpu_ms"] / served_cpu_ms, 3)
        for reads, count in counts.items():
            name = "pattern" if reads is Reads.EACH else "careful_pattern"
            measured = self._application(kind, reads, count, concurrency, seconds)
            found |= {f"{name}_{key}": value for key, value in measured.items()}
            found[f"throughput_over_{name}"] = round(served.throughput / measured["per_s"], 3)
            for quantile in set(served.latency.quantiles) & set(measured["ms"]) & {"p50", "p99"}:
                ratio = served.latency.quantiles[quantile] / measured["ms"][quantile]
                found[f"{quantile}_over_{name}"] = round(ratio, 3)
        return found

    def _limited(self, kind: Kind, way: Way, seconds: float) -> tuple[float, float]:
        cpu, before = time.process_time(), self._next
        reached, self._next = self._limit.throughput(kind, self._other, way, seconds, before)
        answers = self._next - before
        return round(reached, 1), round((time.process_time() - cpu) / answers * 1000, 3)

    def _application(self, kind: Kind, reads: Reads, count: int, concurrency: int, seconds: float) -> dict[str, Any]:
        assert self._pattern is not None
        tree = processes.process_tree(self._server.pid) if self._server.pid else []
        before = processes.use(tree, memory=False)
        measured, own_cpu_ms, self._next = self._pattern.run(
            kind, reads, processes=count, concurrency=concurrency, seconds=seconds, first=self._next
        )
        spent = processes.spent(before, processes.use(tree, memory=False))
        answers = max(1, len(measured.latencies_s)) * (measured.seconds + WARM_UP_S) / measured.seconds
        return {
            "processes": count,
            "per_s": round(len(measured.latencies_s) / measured.seconds, 1),
            "ms": summarise(measured.latencies_s).quantiles,
            "own_cpu_ms": round(own_cpu_ms, 3),
            "cpu_ms": {name: round(s / answers * 1000, 3) for name, s in spent.items() if s / answers > 2e-5},
        }


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
            add_float_encoder(repository, arguments.encoder, arguments.float_encoder)
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
    (scratch / "limit").mkdir()
    limit = Limit(arguments.encoder, mongodb, scratch / "limit")
    runner, other = Runner(sample_inputs(seed)), sample_inputs(seed + 1)
    pattern = None
    if arguments.float_encoder is not None:
        deployment = Deployment(
            encoder_directory=arguments.encoder,
            http=server.endpoint.address,
            mongodb=mongodb,
            scratch=scratch / "pattern",
            inputs=other,
        )
        pattern = Processes(deployment, 2)
    turns = Round(server, runner, limit, pattern, other)
    for kind in (Kind(name) for name in arguments.kind.split(",")):
        chosen = turns.choose(kind)
        rounds = [turns.run(kind, arguments.concurrency, arguments.seconds, chosen) for _ in range(arguments.rounds)]
        way = str(chosen[0][0])
        results["kinds"][kind.value] = {"way": way, "medians": medians(rounds), "rounds": rounds}
        print(kind.value, way, json.dumps(medians(rounds)), file=sys.stderr, flush=True)
    results["repeated"] = {}
    for kind in (Kind.IMAGE, Kind.TEXT):
        results["repeated"][kind.value] = _repeated(server, runner, kind, seed)
        print("repeated", kind.value, json.dumps(results["repeated"][kind.value]), file=sys.stderr, flush=True)
    if pattern is not None:
        pattern.close()
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
    parser.add_argument(
        "--encoder", type=Path, default=PROJECT / "default_encoder" / "embedded", help="encoder directory"
    )
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
