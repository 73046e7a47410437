"""Another encoder while the server is searched and changed, back again, and kills in the middle of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from pymongo import MongoClient

from product_match.contract.products import product_words
from product_match_client.client import ProductMatchClient
from product_match_client.requests import ProductRow
from tests.fakes.live_server import PROJECT, start_server
from tests.fakes.small_encoders import small_encoder

pytestmark = pytest.mark.triton

SAMPLE = PROJECT / "sample_data"
PHOTO = SAMPLE / "queries" / "q001.jpg"
WITH_PHOTO, WORDS_ONLY = 24, 240


@pytest.fixture(scope="module")
def place():
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=parent, prefix="product-match-test-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def encoders(place):
    """Directories by identity, in the order in which they are served."""
    directories = (PROJECT / "demo_clip" / "embedded", place / "small", place / "other")
    small_encoder(directories[1], name="small", seed=1)
    small_encoder(directories[2], name="other", dimension=40, seed=2)
    return {json.loads((path / "encoder.json").read_text())["name"]: path for path in directories}


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


@pytest.fixture(scope="module")
def shop(place, encoders):
    shop = Shop(place / "state")
    shop.fill()
    yield shop
    assert shop.server.stop() == 0


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


def test_another_encoder_takes_over_with_no_failed_request_and_no_lost_change(shop, encoders):
    shop.check("demo-clip")
    with Load(shop) as load:
        done = shop.run("reindex", "--checkpoint", str(encoders["small"]))
        time.sleep(0.5)
    assert load.failures == []
    assert load.answers > 100
    assert load.encoders == {"demo-clip", "small"}
    assert done["encoder"].startswith("small@")
    assert done["from"].startswith("demo-clip@")
    assert done["embedded"] >= WITH_PHOTO + WORDS_ONLY // 3
    shop.check("small")
    with shop.client() as client:
        assert client.status()["reindex"]["state"] == "done"
        assert client.rebuild()["state"] == "running"
    assert json.loads((shop.state / "endpoints.json").read_text())["encoder"].startswith("small@")
    assert {path.name for path in (shop.state / "model_repository").glob("retrieval*")} == {
        "retrieval_" + done["encoder"].partition("@")[2]
    }


def test_the_same_encoder_again_is_no_change(shop, encoders):
    before = shop.change()
    done = shop.run("reindex", "--checkpoint", str(encoders["small"]))
    assert done["message"] == "this encoder is the one that is served"
    assert shop.change() == before


def test_a_rollback_embeds_only_what_changed_since(shop):
    with shop.client() as client:
        client.index({"id": "since", "name": "yellow gloves", "price": 3.0}, image=PHOTO, wait=True)
        client.update([{"id": "w2", "price": 77.0}], wait=True)
        client.delete(["w5"], wait=True)
    shop.prices |= {"since": 3.0, "w2": 77.0}
    del shop.prices["w5"]
    with Load(shop) as load:
        done = shop.run("rollback")
        time.sleep(0.5)
    assert load.failures == []
    assert done["encoder"].startswith("demo-clip@")
    # What the load wrote since the change, and the one product above; a price is carried over without embedding.
    assert 1 <= done["embedded"] <= 41 + load.answers
    assert done["reused"] >= 1
    shop.check("demo-clip")
    with shop.client() as client:
        found = client.match(text="yellow gloves", top_k=1)
        assert [match.product_id for match in found.matches] == ["since"]


def test_a_worker_that_is_killed_costs_nothing_and_the_same_command_goes_on(shop, encoders):
    identity = json.loads((encoders["other"] / "encoder.json").read_text())
    with shop.client() as client, MongoClient(shop.server.endpoints["mongodb"]) as store:
        client.reindex(str(encoders["other"]))
        partial = store["product_match"][f"products_{identity['revision']}"]
        while partial.find_one({}, {"_id": 1}) is None:
            time.sleep(0.002)
        os.kill(shop.change()["pid"], signal.SIGKILL)
        failed = shop.wait_for_change("failed")
        assert "the change of encoder ended with signal SIGKILL" in failed["message"]
    shop.check("demo-clip")
    done = shop.run("reindex", "--checkpoint", str(encoders["other"]))
    assert 0 < done["embedded"] < len(shop.prices)
    shop.check("other")


def test_a_worker_that_is_killed_at_the_switch_leaves_the_encoder_before(shop, encoders):
    with shop.client() as client:
        client.rollback()
        while shop.change().get("stage") != "switching":
            assert shop.change()["state"] in ("requested", "running")
            time.sleep(0.002)
        os.kill(shop.change()["pid"], signal.SIGKILL)
        failed = shop.wait_for_change("failed")
        assert failed["encoder"].startswith("demo-clip@")
        # The models of both encoders were mixed, so Triton itself is started again.
        deadline = time.monotonic() + 60
        while not client.is_ready() or shop.change().get("touched"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    shop.check("other")


def test_a_server_that_is_killed_starts_with_the_encoder_before_and_goes_on(shop, encoders):
    with shop.client() as client:
        client.rollback()
        while shop.change()["state"] == "requested":
            time.sleep(0.002)
    shop.server.process.kill()
    shop.server.process.communicate()
    shop.start_again("--encoder", str(encoders["other"]))
    assert shop.change()["state"] == "failed"
    assert "the server ended; the encoder before goes on serving" in shop.change()["message"]
    shop.check("other")
    done = shop.run("rollback")
    assert done["encoder"].startswith("demo-clip@")
    shop.check("demo-clip")
