"""One run of the fault table: load, kill, heal, compare."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from benchmarks.faults.comparison import Differences, Snapshot, by_product, check_summary, compare
from benchmarks.faults.products import make_products, write_products
from benchmarks.faults.schedule import HOLD_S, Fault, FaultKind
from benchmarks.serving import Command, Serve
from product_match.contract.errors import ProductMatchError, StackError
from product_match_client.client import ProductMatchClient
from product_match_client.requests import ProductRow, Query

logger = logging.getLogger(__name__)

LOAD_TIMEOUT_S: Final = 240.0
WHOLE_TIMEOUT_S: Final = 180.0
GIVE_UP_AFTER_S: Final = 180
ROWS: Final = 32
ASKED_EVERY: Final = 4
"""Each product is compared field by field; a part of them is searched for, too, as encoding queries takes longest."""

DEATHS_IN_A_ROW: Final = 3
"""Kills after which a stack that heals itself is started anew: it counts deaths, and gives up at the sixth."""
_POLL_S: Final = 0.01


@dataclass(kw_only=True)
class Trial:
    """What came of one fault.

    Attributes:
        fault: What was killed, and when.
        stored: Products that were in the document store when it was killed.
        loading: True if the client was still at work then.
        whole_s: Seconds from the kill until client and stack were done and nothing was pending.
        client_exits: Exit codes of the client, in order.
        serve_exit: Exit code of `serve`, where it ended.
        differences: From an uninterrupted load.
        failure: Why the run could not be brought to its end; empty where it was.
    """

    fault: Fault
    stored: int = 0
    loading: bool = False
    whole_s: float = 0.0
    client_exits: list[int] = field(default_factory=list)
    serve_exit: int | None = None
    differences: Differences = field(default_factory=Differences)
    failure: str = ""

    @property
    def clean(self) -> bool:
        """True if it came to its end without any difference."""
        return not self.failure and self.differences.none

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON."""
        fault = {**dataclasses.asdict(self.fault), "kind": self.fault.kind.value}
        return {**dataclasses.asdict(self), "fault": fault}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Trial:
        """Read what `to_dict` wrote."""
        fault = Fault(**{**fields["fault"], "kind": FaultKind(fields["fault"]["kind"])})
        return cls(**{**fields, "fault": fault, "differences": Differences(**fields["differences"])})


class Trials:
    """A stack, a catalogue, and what it looks like after an uninterrupted load."""

    def __init__(self, directory: Path, products: int) -> None:
        """Keep everything in `directory`; the catalogue has so many products."""
        self._directory = directory
        self._source = directory / "products.jsonl"
        self.products = make_products(products)
        write_products(self.products, self._source)
        self._serve = Serve(directory)
        self._command = Command(self._serve.url)
        self._deaths = 0
        self.baseline: Snapshot | None = None
        self.load_s = 0.0

    def close(self) -> None:
        """End the stack."""
        self._serve.kill()

    def measure_baseline(self) -> None:
        """Load without a fault, twice, and keep what the catalogue looks like.

        Raises:
            StackError: Already this load is not what it should be.
        """
        self._reset()
        started = time.monotonic()
        self._finish_load(self._start_load())
        self._wait_until_whole()
        self.load_s = time.monotonic() - started
        first = self.snapshot()
        differences = compare(first, first)
        check_summary(self._load_again(), len(self.products), differences)
        if len(first.documents) != len(self.products) or not first.photos or not differences.none:
            raise StackError(f"an uninterrupted load is not whole: {differences.to_dict()}")
        self.baseline = first

    def run(self, fault: Fault) -> Trial:
        """Run one fault; what goes wrong on the way is part of the result."""
        if self.baseline is None:
            self.measure_baseline()
        trial = Trial(fault=fault)
        load: subprocess.Popen[str] | None = None
        try:
            self._reset()
            load = self._start_load()
            self._run(trial, load)
        except (ProductMatchError, PyMongoError, OSError) as error:
            trial.failure = str(error)
            logger.exception("run %d of %s", fault.run, fault.kind.value)
            self._keep_evidence(fault)
            self._serve.kill()
        finally:
            if load is not None and load.poll() is None:
                load.kill()
                load.wait()
        return trial

    def _run(self, trial: Trial, load: subprocess.Popen[str]) -> None:
        fault = trial.fault
        self._wait_for_moment(fault, load)
        trial.stored = self._stored()
        trial.loading = load.poll() is None
        victim = self._victim(fault, load)
        killed = time.monotonic()
        os.kill(victim, fault.kind.signal)
        if fault.kind is FaultKind.HOLD:
            time.sleep(HOLD_S)
            os.kill(victim, signal.SIGCONT)
        if fault.kind.ends_serve:
            trial.serve_exit = self._serve.wait_end()
            self._serve.start()
            self._deaths = 0
        elif fault.kind is not FaultKind.CLIENT:
            self._deaths += 1
        trial.client_exits.append(self._end_of(load))
        if trial.client_exits[-1] != 0:
            again = self._start_load()
            trial.client_exits.append(self._finish_load(again))
        self._wait_until_whole()
        trial.whole_s = round(time.monotonic() - killed, 3)
        if self.baseline is None:
            raise StackError("there is nothing to compare with; measure the baseline first")
        trial.differences = compare(self.baseline, self.snapshot())
        check_summary(self._load_again(), len(self.products), trial.differences)
        if not trial.differences.none:
            self._keep_evidence(fault)

    def _reset(self) -> None:
        """Empty the catalogue; start a fresh stack where there is none, or where it has seen several deaths."""
        if self._serve.running and self._deaths < DEATHS_IN_A_ROW:
            self._command.call("drop", "--yes")
            self._wait_until_whole()
            return
        self._serve.stop()
        shutil.rmtree(self._serve.state, ignore_errors=True)
        self._serve.start()
        self._deaths = 0

    def _start_load(self) -> subprocess.Popen[str]:
        return self._command.start(
            *("index", str(self._source), "--rejects", str(self._directory / "rejects.jsonl")),
            *("--batch-size", "4", "--concurrency", "4", "--give-up-after", str(GIVE_UP_AFTER_S)),
            log=self._directory / "client.log",
        )

    def _finish_load(self, load: subprocess.Popen[str]) -> int:
        code = self._end_of(load)
        if code != 0:
            log = (self._directory / "client.log").read_text(errors="replace")[-1500:]
            raise StackError(f"`product-match index` ended with {code}: {log}")
        return code

    def _end_of(self, load: subprocess.Popen[str]) -> int:
        try:
            load.communicate(timeout=LOAD_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            load.kill()
            load.communicate()
            raise StackError(f"`product-match index` did not end within {LOAD_TIMEOUT_S:g} s") from error
        return load.returncode

    def _load_again(self) -> dict[str, Any]:
        rejects = str(self._directory / "rejects.jsonl")
        summary: dict[str, Any] = json.loads(
            self._command.call(
                *("index", str(self._source), "--rejects", rejects, "--give-up-after", "60"), accept=(0, 1)
            )
        )
        return summary

    def _wait_for_moment(self, fault: Fault, load: subprocess.Popen[str]) -> None:
        with _store(self._serve.mongodb) as store:
            products = store["product_match"]["products"]
            deadline = time.monotonic() + LOAD_TIMEOUT_S
            while load.poll() is None and products.estimated_document_count() < fault.after_products:
                if time.monotonic() > deadline:
                    raise StackError(f"the load did not come to {fault.after_products} products")
                time.sleep(_POLL_S)
        time.sleep(fault.delay_s)

    def _stored(self) -> int:
        with _store(self._serve.mongodb) as store:
            return store["product_match"]["products"].estimated_document_count()

    def _victim(self, fault: Fault, load: subprocess.Popen[str]) -> int:
        kind = fault.kind
        if kind is FaultKind.CLIENT:
            return load.pid
        processes = self._serve.processes()
        models = sorted(processes.models)
        return {
            FaultKind.TRITON: processes.triton,
            FaultKind.DOCUMENTS: processes.documents,
            FaultKind.OWNER: processes.models["retrieval"],
            FaultKind.HOLD: processes.models[models[fault.run % len(models)]],
        }.get(kind, processes.serve)

    def _wait_until_whole(self) -> None:
        """Wait until every model answers and nothing is pending."""

        def whole() -> bool:
            with ProductMatchClient(self._serve.url, timeout_s=10) as client:
                return client.is_ready() and client.status()["pending"] == 0

        _wait_until(whole, WHOLE_TIMEOUT_S, "nothing is pending and every model is ready")

    def snapshot(self) -> Snapshot:
        """Return everything that can be seen of the catalogue."""
        command = self._command
        with _store(self._serve.mongodb) as store:
            database = store["product_match"]
            documents = list(database["products"].find({}))
            photos = frozenset(database["products_images"].distinct("digest"))
        lines = [json.loads(line) for line in command.call("export", "--no-photos").splitlines()]
        answers = self._ask()
        return Snapshot(
            documents=by_product(documents, "product_id"),
            exported=by_product(lines, "id"),
            count=int(json.loads(command.call("count"))["count"]),
            verify=json.loads(command.call("verify", accept=(0, 1))),
            answers=answers,
            photos=photos,
        )

    def _ask(self) -> dict[str, str]:
        """Return the best match for a product's photo, and the receipt of sending it once more, for some products."""
        answers: dict[str, str] = {}
        asked = self.products[::ASKED_EVERY]
        with ProductMatchClient(self._serve.url, timeout_s=60) as client:
            for start in range(0, len(asked), ROWS):
                part = asked[start : start + ROWS]
                found = client.match_batch([Query(image=product["image"]) for product in part], top_k=1, fields=[])
                receipts = client.index_batch([ProductRow(product=p, image=p["image"]) for p in part])
                for product, result, receipt in zip(part, found, receipts, strict=True):
                    best = result.matches[0].product_id if result.matches else "nothing"
                    answers[product["id"]] = f"{best}, {receipt.status} at rev {receipt.rev}"
        return answers

    def _keep_evidence(self, fault: Fault) -> None:
        """Copy logs aside, as the next start overwrites them."""
        kept = self._directory / f"failed-{fault.kind.value}-{fault.run}"
        with contextlib.suppress(OSError):
            shutil.copytree(self._serve.state / "logs", kept, dirs_exist_ok=True)
            for name in ("client.log", "serve.log", "rejects.jsonl"):
                if (self._directory / name).exists():
                    shutil.copy(self._directory / name, kept)


def _store(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=20_000)


def _wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    deadline = time.monotonic() + timeout_s
    last: ProductMatchError | None = None
    while True:
        try:
            if condition():
                return
        except ProductMatchError as error:
            last = error
        if time.monotonic() > deadline:
            raise StackError(f"waited {timeout_s:g} s until {what}; last error: {last}")
        time.sleep(5 * _POLL_S)
