"""A shop of a real server whose encoder is changed: what its catalogue has to hold, and a load that never stops."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from pymongo import MongoClient

from product_match.contract.products import product_words
from product_match.host.processes import children_of, model_of
from product_match_client.client import ProductMatchClient
from product_match_client.requests import ProductRow
from tests.fakes.live_server import PROJECT, start_server

SAMPLE = PROJECT / "sample_data"
PHOTO = SAMPLE / "queries" / "q001.jpg"
WITH_PHOTO, WORDS_ONLY = 24, 240


class Shop:
    """The server, which a test may kill and start again, and what the catalogue has to hold."""

    def __init__(self, state):
        self.state = state
        self.server = start_server(state)
        self.prices = {}

    def fill(self):
        lines = (SAMPLE / "products.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [self._row(json.loads(line)) for line in lines[:WITH_PHOTO]]
        rows += [
            ProductRow(product={"id": f"w{n}", "name": f"{color} hat {n}", "price": float(n)})
            for n in range(WORDS_ONLY // 3)
            for color in ("red", "blue", "green")[n % 3 :][:1]
        ]
        with self.client() as client:
            for start in range(0, len(rows), 40):
                client.index_batch(rows[start : start + 40], wait=True)
        self.prices = {str(row.product["id"]): row.product.get("price") for row in rows}

    def client(self, wire="http"):
        prefix = "grpc://" if wire == "grpc" else ""
        return ProductMatchClient(prefix + (self.server.grpc if prefix else self.server.http))

    def start_again(self, *options):
        self.server = start_server(self.state, *options)

    def change(self):
        """How the last change of encoder stands."""
        return json.loads((self.state / "reindex.json").read_text())

    def wait_for_change(self, *states, timeout_s=60.0):
        deadline = time.monotonic() + timeout_s
        while self.change()["state"] not in states:
            assert time.monotonic() < deadline, self.change()
            time.sleep(0.05)
        return self.change()

    def wait_for_stage(self, stage, timeout_s=60.0):
        """Wait until the change that was asked for has come so far; return the process that performs it."""
        deadline = time.monotonic() + timeout_s
        while self.change().get("stage") != stage:
            assert self.change()["state"] in ("requested", "running")
            assert time.monotonic() < deadline, self.change()
            time.sleep(0.002)
        return self.change()["pid"]

    def begin_reindex(self, directory, timeout_s=60.0):
        """Ask for another encoder; return the process that embeds, once it has embedded the first products."""
        deadline = time.monotonic() + timeout_s
        with self.client() as client, self._documents(directory) as embedded:
            client.reindex(str(directory))
            while embedded.find_one({}, {"_id": 1}) is None:
                assert time.monotonic() < deadline, self.change()
                time.sleep(0.002)
        return self.change()["pid"]

    def embedded(self, directory):
        """How many products are embedded by another encoder."""
        with self._documents(directory) as documents:
            return documents.count_documents({})

    @contextlib.contextmanager
    def _documents(self, directory):
        revision = json.loads((directory / "encoder.json").read_text())["revision"]
        with MongoClient(self.server.endpoints["mongodb"]) as store:
            yield store["product_match"][f"products_{revision}"]

    def triton_pid(self):
        """Triton's process; None for a moment while it is started again."""
        children = children_of(self.server.process.pid)
        return next((pid for pid, command in children.items() if Path(command[0]).name == "tritonserver"), None)

    def kill_model(self, model):
        """Kill the process of a model, under whatever suffix it runs."""
        children = children_of(self.triton_pid())
        os.kill(next(pid for pid, line in children.items() if model_of(line).startswith(model)), signal.SIGKILL)

    def wait_until_ready(self, client, *, other_than=None, timeout_s=60.0):
        """Wait until Triton has all its models: another process than `other_than`, where that is given."""
        deadline = time.monotonic() + timeout_s
        while self.triton_pid() in (None, other_than) or not client.is_ready():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def run(self, *arguments, code=0):
        """Run the command as a person does; return what it printed, as JSON."""
        program = Path(sys.executable).with_name("product-match")
        done = subprocess.run(
            [program, *arguments, "--url", self.server.http], capture_output=True, text=True, check=False, timeout=90
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout else done.stderr

    def check(self, encoder):
        """Everything is there, in step, embedded by `encoder`, and found."""
        with self.client() as client:
            # What was acknowledged last may still be on its way to the index, and would be missing from its count.
            deadline = time.monotonic() + 60.0
            while client.status()["pending"]:
                assert time.monotonic() < deadline
            report = client.verify()
            assert report["in_step"], report
            assert report["documents"] == report["vectors"] == len(self.prices)
            held = {entry["id"]: entry for entry in client.get(list(self.prices))}
            assert {id_: entry["product"].get("price") for id_, entry in held.items()} == self.prices
            assert {entry["encoder"].partition("@")[0] for entry in held.values()} == {encoder}
            answer = client.match(image=PHOTO, text="red hat", top_k=3)
            assert answer.encoder.partition("@")[0] == encoder
            assert len(answer.matches) == 3

    def _row(self, product):
        return ProductRow(product=product, image=SAMPLE / product["image"], text=product_words(product))


class Load:
    """Searches and changes from several clients at a time, each on kept connections; notes what failed."""

    def __init__(self, shop):
        self.shop = shop
        self.failures, self.answers, self.encoders = [], 0, set()
        self._over = threading.Event()
        work = [self._searching("http"), self._searching("grpc"), self._writing("http"), self._reading("grpc")]
        self._threads = [threading.Thread(target=self._repeat, args=(one,)) for one in work]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, work):
        while not self._over.is_set():
            try:
                next(work)
                self.answers += 1
            except Exception as error:
                self.failures.append(repr(error))
            time.sleep(0.02)

    def _searching(self, wire):
        with self.shop.client(wire) as client:
            for number in range(100_000):
                queries = ({"text": f"red hat {number}"}, {"image": PHOTO}, {"image": PHOTO, "text": "blue hat"})
                answer = client.match(**queries[number % 3], top_k=3)
                assert len(answer.matches) == 3
                self.encoders.add(answer.encoder.partition("@")[0])
                yield

    def _writing(self, wire):
        """Add, change and remove; what was acknowledged is what the catalogue has to hold."""
        with self.shop.client(wire) as client:
            for number in range(100_000):
                id_ = f"new{number % 40}"
                client.index({"id": id_, "name": f"green scarf {number}", "price": float(number)}, image=PHOTO)
                self.shop.prices[id_] = float(number)
                yield
                client.update([{"id": "w1", "price": number + 0.5}])
                self.shop.prices["w1"] = number + 0.5
                yield
                if number % 3 == 0:
                    assert client.delete([id_]) == 1
                    del self.shop.prices[id_]
                yield

    def _reading(self, wire):
        with self.shop.client(wire) as client:
            while True:
                assert client.count() >= WITH_PHOTO
                assert client.is_ready()
                yield
