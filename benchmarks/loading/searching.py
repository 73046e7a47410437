"""A steady load of searches beside what is measured."""

from __future__ import annotations

import contextlib
import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ProductMatchError
from product_match_client.client import ProductMatchClient
from product_match_client.requests import Query

WORKERS: Final = 8
TOP_K: Final = 10
Ask = Callable[[Query], object]
OpenAsk = Callable[[], contextlib.AbstractContextManager[Ask]]


@dataclass(kw_only=True)
class SearchResult:
    """What became of searches.

    Attributes:
        latencies_s: From the moment that each search was due until its answer.
        failures: The words of each one that failed.
    """

    latencies_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON."""
        found = sorted(self.latencies_s)
        return {
            "requests": len(found) + len(self.failures),
            "failed": len(self.failures),
            "failures": sorted(set(self.failures))[:5],
            **{f"p{share}_ms": round(quantile(found, share / 100) * 1000, 1) for share in (50, 95, 99) if found},
            "longest_ms": round(found[-1] * 1000, 1) if found else None,
        }


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile of values in ascending order."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


class SearchLoad:
    """Sends searches at a fixed rate, whether or not the ones before are answered."""

    def __init__(self, open_ask: OpenAsk, queries: Sequence[Query]) -> None:
        """Ask by what `open_ask` opens, once for each worker, in turn for each of `queries`."""
        self._open_ask, self._queries = open_ask, queries
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def running(self, rate: float) -> Iterator[SearchResult]:
        """Search `rate` times a second while the block runs; the result is whole after it."""
        result = SearchResult()
        due: queue.SimpleQueue[tuple[float, Query] | None] = queue.SimpleQueue()
        ended = threading.Event()
        threads = [threading.Thread(target=self._pace, args=(rate, due, ended), daemon=True)]
        threads += [threading.Thread(target=self._work, args=(due, result), daemon=True) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            yield result
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def _pace(self, rate: float, due: queue.SimpleQueue[tuple[float, Query] | None], ended: threading.Event) -> None:
        started, number = time.monotonic(), 0
        while not ended.wait(max(0.0, started + number / rate - time.monotonic())):
            due.put((started + number / rate, self._queries[number % len(self._queries)]))
            number += 1
        for _ in range(WORKERS):
            due.put(None)

    def _work(self, due: queue.SimpleQueue[tuple[float, Query] | None], result: SearchResult) -> None:
        with self._open_ask() as ask:
            while (item := due.get()) is not None:
                at, query = item
                try:
                    ask(query)
                except ProductMatchError as error:
                    with self._lock:
                        result.failures.append(str(error))
                else:
                    with self._lock:
                        result.latencies_s.append(time.monotonic() - at)


def server_ask(url: str) -> OpenAsk:
    """Return what opens a connection to a server to search by."""

    @contextlib.contextmanager
    def opened() -> Iterator[Ask]:
        with ProductMatchClient(url, timeout_s=30) as client:
            yield lambda query: client.match_batch([query], top_k=TOP_K)

    return opened


def sample_queries(sample: Path) -> list[Query]:
    """Return the sample's queries: photos, words, and both."""
    lines = (sample / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries: list[Query] = []
    for line in lines:
        fields = json.loads(line)
        image = (sample / fields["image"]).read_bytes() if fields.get("image") else None
        queries.append(Query(image=image, text=fields.get("text") or None))
    return [query for query in queries if query.image or query.text]
