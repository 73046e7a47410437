"""What the event log costs a request: the same requests to servers without one, with one, and with its store away.

    python -m benchmarks.event_log --directory /tmp/event-log

Three embedded servers run side by side, and each query goes to all of them in turn, in changing order, so that
whatever else the machine does meets all three alike. Then each is kept busy by eight clients, in turns of a few
seconds. Words are new each time: no answer comes from the cache.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.serving import PROJECT, Serve, end_in_order
from product_match.events.privacy import Privacy
from product_match.events.writer import EventWriter
from product_match.feedback.keys import ALGORITHMS, make_key, read_keys
from product_match.feedback.tokens import TokenSigner
from product_match.index.product_cache import StoredProduct
from product_match.recording.answers import AnswerRecorder
from product_match.retrieval.answers import Answered, Match, Timings
from product_match.retrieval.confidence import Assessment
from product_match.retrieval.rows import RowQuery
from product_match.retrieval.searches import Parts
from product_match.settings import WordsKept
from product_match_client import ProductMatchClient

AWAY: Final = "mongodb://127.0.0.1:1/?directConnection=true"
SERVERS: Final[Mapping[str, Sequence[str]]] = {
    "no events": (),
    "events": ("--event-log",),
    "events, store away": ("--event-log", "--event-uri", AWAY),
}
SEED: Final = 16
CLIENTS: Final = 8
TURNS: Final = 4
ROUNDS: Final = 50
ONCE: Final = 100
LOADED_S: Final = 120.0


def main() -> int:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--directory", type=Path, required=True, help="where the servers keep their state")
    parser.add_argument("--requests", type=int, default=600, help="queries, one after another (default %(default)s)")
    parser.add_argument("--turn-s", type=float, default=3.0, help="seconds of a busy turn (default %(default)g)")
    arguments = parser.parse_args()
    end_in_order()
    words = new_words()
    with ExitStack() as running:
        clients = {name: started(running, arguments.directory / str(n), name) for n, name in enumerate(SERVERS)}
        took = one_after_another(clients, words, arguments.requests)
        rates = {name: [] for name in clients}
        for turn, name in itertools.product(range(TURNS), clients):
            rates[name].append(busy(clients[name].url, words, arguments.turn_s))
            print(f"turn {turn}: {name}: {rates[name][-1]:.1f} a second", flush=True)
        stored = len(list(clients["events"].events(limit=200).events))
    print(
        json.dumps(
            {"requests": arguments.requests, "stored at least": stored, **noting(), **report(took, rates)}, indent=2
        )
    )
    return 0


def noting() -> dict[str, float]:
    """Return the milliseconds that an answer of ten matches takes to be signed, and to be made an event of."""
    row = RowQuery(
        query_id="q",
        sides={},
        shares={},
        text="red jacket",
        words=None,
        top_k=10,
        fields=None,
        filter=None,
        min_score=None,
        min_confidence=None,
        fusion="calibrated",
        explain=False,
        options={"top_k": 10},
    )
    matches = [Match(StoredProduct(str(n), b"{}"), 0.5, Assessment(0.5, None), Parts()) for n in range(10)]
    answered = [Answered(row=row, outcome="matched", matches=matches)]
    privacy, took = Privacy(WordsKept.KEPT, "key"), {}
    for algorithm in ALGORITHMS:
        signer = TokenSigner(read_keys(json.dumps(make_key(algorithm, "key"))), 30.0)
        took[f"signed_{algorithm}_ms"] = _least_ms(AnswerRecorder(privacy, signer, None), answered)
    # With nobody to store them and none more than a few, each is made and let go.
    took["event_ms"] = _least_ms(AnswerRecorder(privacy, None, EventWriter(Nowhere(), most_waiting=ONCE)), answered)
    return took


class Nowhere:
    """Stores nothing: what is measured ends before."""

    def add_events(self, documents: Sequence[dict[str, Any]]) -> None:
        """Keep nothing."""

    def remove_expired(self) -> int:
        """Remove nothing."""
        return 0

    def close(self) -> None:
        """Close nothing."""


def _least_ms(recorder: AnswerRecorder, answered: Sequence[Answered]) -> float:
    timings, least = Timings(), float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(ONCE):
            recorder("demo@1", answered, timings)
        least = min(least, (time.perf_counter() - begun) / ONCE)
    return round(least * 1000, 3)


def started(running: ExitStack, directory: Path, name: str) -> ProductMatchClient:
    """Start a server with the sample catalogue, and return a client of it."""
    directory.mkdir(parents=True, exist_ok=True)
    serve = Serve(directory, "--sample", "--sample-data", str(PROJECT / "sample_data"), *SERVERS[name])
    running.callback(serve.stop)
    serve.start()
    client = running.enter_context(ProductMatchClient(f"grpc://127.0.0.1:{serve.grpc}"))
    products = sum(1 for _ in (PROJECT / "sample_data" / "products.jsonl").open())
    deadline = time.monotonic() + LOADED_S
    while client.count() < products:
        if time.monotonic() > deadline:
            raise SystemExit(f"{name}: the sample catalogue was not loaded after {LOADED_S:g} s")
        time.sleep(0.2)
    return client


def new_words() -> Iterator[str]:
    """Yield words of the sample's judged queries, each with a number that no other has."""
    lines = (PROJECT / "sample_data" / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [query["text"] for query in map(json.loads, lines) if query.get("text") and not query.get("image")]
    return (f"{text} {number}" for number, text in enumerate(itertools.cycle(texts)))


def one_after_another(
    clients: Mapping[str, ProductMatchClient], words: Iterator[str], requests: int
) -> dict[str, list[float]]:
    """Return the milliseconds of each query on each server, one request at a time."""
    order, shuffled = list(clients), random.Random(SEED)
    took: dict[str, list[float]] = {name: [] for name in clients}
    for text in itertools.islice(words, requests + 20):
        shuffled.shuffle(order)
        for name in order:
            begun = time.perf_counter()
            clients[name].match(text=text)
            took[name].append((time.perf_counter() - begun) * 1000)
    return {name: each[20:] for name, each in took.items()}


def busy(url: str, words: Iterator[str], seconds: float) -> float:
    """Return how many queries a second a server answers to `CLIENTS` that ask without a pause."""
    texts = list(itertools.islice(words, 4000))
    counts, end = [0] * CLIENTS, time.monotonic() + seconds

    def ask(number: int) -> None:
        with ProductMatchClient(url) as client:
            for text in texts[number::CLIENTS]:
                if time.monotonic() >= end:
                    return
                client.match(text=text)
                counts[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def report(took: Mapping[str, Sequence[float]], rates: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the figures of each server, and its difference to the first one's, query by query."""
    plain = next(iter(took))
    return {
        name: {
            "p50_ms": round(statistics.median(each), 2),
            "p95_ms": round(statistics.quantiles(each, n=20)[-1], 2),
            "median_of_differences_ms": round(
                statistics.median(here - there for here, there in zip(each, took[plain], strict=True)), 3
            ),
            "queries_a_second": round(statistics.median(rates[name]), 1),
        }
        for name, each in took.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
