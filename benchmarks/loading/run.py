"""The steps of the measurement, in order."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from benchmarks.loading import encoder_rate
from benchmarks.loading.catalogue import GeneratedCatalogue
from benchmarks.loading.filling import fill
from benchmarks.loading.memory import MemoryWatch, disk_mb
from benchmarks.loading.other_encoder import other_encoder
from benchmarks.loading.searching import SearchLoad, sample_queries, server_ask
from benchmarks.serving import PROJECT, Command, Serve, descendants
from product_match.contract.errors import ProductMatchError, StackError
from product_match.host.polling import wait_until
from product_match_client.client import ProductMatchClient

SAMPLE: Final = PROJECT / "sample_data"
ENCODER: Final = PROJECT / "default_encoder" / "embedded"
SEARCHABLE_TIMEOUT_S: Final = 300.0
LOAD_GRACE_S: Final = 180.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured.

    Attributes:
        products: Size of the catalogue.
        distinct: Share of photos that no other product has.
        seed: Decides the catalogue.
        load_minutes: No product is generated after so long; what came until then is the catalogue.
        fill: Products that the stores are filled to after the load, without encoding; 0 for none.
        search_rate: Searches a second.
        search_s: Seconds of searches before the rebuild.
        rebuild_minutes: Longest wait for the rebuild, and for each change of encoder.
        reindex: Whether the encoder is changed then, and changed back.
    """

    products: int
    distinct: float
    seed: int
    load_minutes: float
    fill: int
    search_rate: float
    search_s: float
    rebuild_minutes: float
    reindex: bool = False


class Measurement:
    """One stack, filled and measured."""

    def __init__(self, directory: Path, plan: Plan, say: Say) -> None:
        """Keep everything in `directory`."""
        self._directory, self._plan, self._say = directory, plan, say
        self._serve = Serve(directory)
        self._command = Command(self._serve.url)
        self._client: subprocess.Popen[str] | None = None
        self._memory = MemoryWatch(self._processes)
        self.report: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Run every step; what was measured before a failure stays in `report`."""
        try:
            self.report["start_s"] = round(self._serve.start(), 1)
            rate = encoder_rate.measure(ENCODER, SAMPLE, seconds=3.0)
            self.report["encoder_products_per_s"] = rate.products_per_s
            self.report["encoder_batch"] = rate.batch
            self._say(f"the encoder alone: {rate.products_per_s} products/s, batches of {rate.batch}")
            with self._memory.running():
                self._load(rate.products_per_s)
                self._fill()
                # At once: half a minute after a large load the server rebuilds its index by itself.
                self._search_and_rebuild()
                self._search_and_reindex()
                self.report["verify"] = self._verify()
        finally:
            self.report["peak_memory_mb"] = self._memory.peaks_mb()
            if self._client is not None and self._client.poll() is None:
                self._client.kill()
                self._client.wait()
            with contextlib.suppress(StackError):
                self._serve.stop()
        return self.report

    def _load(self, encoder_products_per_s: float) -> None:
        catalogue = GeneratedCatalogue(SAMPLE, distinct=self._plan.distinct, seed=self._plan.seed)
        deadline = time.monotonic() + self._plan.load_minutes * 60
        started = time.monotonic()
        self._client = self._command.start(
            *("index", "-", "--format", "jsonl", "--rejects", str(self._directory / "rejects.jsonl")),
            log=self._directory / "client.log",
            stdin=subprocess.PIPE,
        )
        feeder = threading.Thread(target=self._feed, args=(self._client.stdin, catalogue, deadline), daemon=True)
        feeder.start()
        try:
            code = self._client.wait(self._plan.load_minutes * 60 + LOAD_GRACE_S)
        except subprocess.TimeoutExpired as error:
            raise StackError("the load did not end in time") from error
        seconds = time.monotonic() - started
        summary = json.loads(self._client.stdout.read()) if self._client.stdout else {}
        searchable_s = self._wait_until_searchable() - started
        products = int(json.loads(self._command.run("count"))["count"])
        rate = products / seconds
        self.report["load"] = {
            "exit": code,
            "asked_for": self._plan.products,
            "products": products,
            "distinct_photos": catalogue.distinct_photos,
            "seconds": round(seconds, 1),
            "seconds_until_all_searchable": round(searchable_s, 1),
            "products_per_s": round(rate, 1),
            "share_of_encoder": round(rate / encoder_products_per_s, 3),
            "summary": summary,
        }
        self.report["disk_mb"] = self._disk_mb()
        self._say(f"loaded {products:,} products in {seconds:.0f} s, {rate:.1f}/s")

    def _fill(self) -> None:
        if not self._plan.fill:
            return
        started = time.monotonic()
        photo = next((SAMPLE / "images").glob("*.jpg"))
        written = fill(self._serve.mongodb, ENCODER, photo, products=self._plan.fill, seed=self._plan.seed)
        seconds = time.monotonic() - started
        searchable_s = self._wait_until_searchable() - started
        self.report["fill"] = {
            "written": written,
            "products": self._plan.fill,
            "seconds": round(seconds, 1),
            "seconds_until_all_searchable": round(searchable_s, 1),
        }
        self.report["disk_mb"] = self._disk_mb()
        self._say(f"filled to {self._plan.fill:,} products in {seconds:.0f} s, searchable after {searchable_s:.0f} s")

    def _disk_mb(self) -> dict[str, float]:
        return {name: disk_mb(self._serve.state / name) for name in ("documents", "index", "logs")}

    def _feed(self, pipe: IO[str] | None, catalogue: GeneratedCatalogue, deadline: float) -> None:
        if pipe is None:
            return
        with contextlib.suppress(BrokenPipeError), pipe:
            for line in catalogue.lines(self._plan.products):
                if time.monotonic() > deadline:
                    return
                pipe.write(line.decode())

    def _wait_until_searchable(self) -> float:
        with ProductMatchClient(self._serve.url, timeout_s=30) as client:
            if not wait_until(lambda: not client.status()["pending"], SEARCHABLE_TIMEOUT_S, poll_s=0.2):
                raise StackError(f"products are pending {SEARCHABLE_TIMEOUT_S:g} s after the load")
        return time.monotonic()

    def _verify(self) -> dict[str, Any]:
        started = time.monotonic()
        report: dict[str, Any] = json.loads(self._command.run("verify", accept=(0, 1), timeout_s=600))
        seconds = round(time.monotonic() - started, 2)
        self._say(f"verify: {seconds} s, in step: {report['in_step']}")
        return {**report, "command_s": seconds}

    def _search_and_rebuild(self) -> None:
        load = SearchLoad(server_ask(self._serve.url), sample_queries(SAMPLE))
        with load.running(self._plan.search_rate):
            time.sleep(min(5.0, self._plan.search_s))
        with load.running(self._plan.search_rate) as before:
            time.sleep(self._plan.search_s)
        self.report["search_before"] = before.to_dict()
        with load.running(self._plan.search_rate) as during:
            started = time.monotonic()
            answer = self._command.run("rebuild", timeout_s=self._plan.rebuild_minutes * 60)
            seconds = time.monotonic() - started
        self.report["rebuild"] = {**json.loads(answer), "command_s": round(seconds, 2)}
        self.report["search_during_rebuild"] = during.to_dict()
        with load.running(self._plan.search_rate) as after:
            time.sleep(self._plan.search_s)
        self.report["search_after"] = after.to_dict()
        self.report["disk_mb"]["index_after_rebuild"] = disk_mb(self._serve.state / "index")
        self._say(f"rebuild: {self.report['rebuild']}")

    def _search_and_reindex(self) -> None:
        if not self._plan.reindex:
            return
        checkpoint = other_encoder(ENCODER, self._directory / "encoder")
        load = SearchLoad(server_ask(self._serve.url), sample_queries(SAMPLE))
        for name, arguments in (
            ("reindex", ("reindex", "--checkpoint", str(checkpoint))),
            ("rollback", ("rollback",)),
        ):
            with load.running(self._plan.search_rate) as during:
                started = time.monotonic()
                answer = self._command.run(*arguments, timeout_s=self._plan.rebuild_minutes * 60)
                seconds = time.monotonic() - started
            self.report[name] = {**json.loads(answer), "command_s": round(seconds, 2)}
            self.report[f"search_during_{name}"] = during.to_dict()
            self._say(f"{name}: {self.report[name]}")
        with load.running(self._plan.search_rate) as after:
            time.sleep(self._plan.search_s)
        self.report["search_after_rollback"] = after.to_dict()
        self.report["disk_mb"]["documents_of_both_encoders"] = disk_mb(self._serve.state / "documents")
        self.report["disk_mb"]["index_of_both_encoders"] = disk_mb(self._serve.state / "index")

    def _processes(self) -> dict[str, int]:
        """Return the stack's processes, the client, and the one that derives an index while there is one."""
        found: dict[str, int] = {}
        with contextlib.suppress(ProductMatchError):
            found.update(self._serve.processes().named())
        found.update(self._derivations(found.get("retrieval", 0)))
        if found and (pid := self._serve.change_worker()):
            found["change of encoder"] = pid
        if self._client is not None and self._client.poll() is None:
            found["client"] = self._client.pid
        return found

    def _derivations(self, retrieval: int) -> Iterator[tuple[str, int]]:
        for pid in descendants(retrieval) if retrieval else []:
            yield "derivation (rebuild)", pid
