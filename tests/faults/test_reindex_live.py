"""Another encoder while the server is searched and changed, back again, and kills in the middle of it."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from tests.fakes.live_server import PROJECT
from tests.fakes.live_shop import PHOTO, WITH_PHOTO, WORDS_ONLY, Load, Shop
from tests.fakes.small_encoders import small_encoder

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def place():
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=parent, prefix="product-match-test-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def encoders(place):
    """Directories by identity, in the order in which they are served."""
    directories = (PROJECT / "default_encoder" / "embedded", place / "small", place / "other")
    small_encoder(directories[1], name="small", seed=1)
    small_encoder(directories[2], name="other", dimension=40, seed=2)
    return {json.loads((path / "encoder.json").read_text())["name"]: path for path in directories}


@pytest.fixture(scope="module")
def shop(place, encoders):
    shop = Shop(place / "state")
    shop.fill()
    yield shop
    assert shop.server.stop() == 0


def test_another_encoder_takes_over_with_no_failed_request_and_no_lost_change(shop, encoders):
    shop.check("default-encoder")
    with Load(shop) as load:
        done = shop.run("reindex", "--checkpoint", str(encoders["small"]))
        time.sleep(0.5)
    assert load.failures == []
    assert load.answers > 100
    assert load.encoders == {"default-encoder", "small"}
    assert done["encoder"].startswith("small@")
    assert done["from"].startswith("default-encoder@")
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
    assert done["encoder"].startswith("default-encoder@")
    # What the load wrote since the change, and the one product above; a price is carried over without embedding.
    assert 1 <= done["embedded"] <= 41 + load.answers
    assert done["reused"] >= 1
    shop.check("default-encoder")
    with shop.client() as client:
        found = client.match(text="yellow gloves", top_k=1)
        assert [match.product_id for match in found.matches] == ["since"]


def test_a_worker_that_is_killed_costs_nothing_and_the_same_command_goes_on(shop, encoders):
    os.kill(shop.begin_reindex(encoders["other"]), signal.SIGKILL)
    failed = shop.wait_for_change("failed")
    assert "the change of encoder ended with signal SIGKILL" in failed["message"]
    shop.check("default-encoder")
    embedded = shop.embedded(encoders["other"])
    assert embedded > 0
    done = shop.run("reindex", "--checkpoint", str(encoders["other"]))
    assert done["embedded"] == len(shop.prices) - embedded
    shop.check("other")


@pytest.mark.parametrize("stage", ["loading the models", "switching"])
def test_a_worker_that_is_killed_among_the_models_leaves_the_encoder_before(shop, stage):
    with shop.client() as client:
        client.rollback()
        os.kill(shop.wait_for_stage(stage), signal.SIGKILL)
        failed = shop.wait_for_change("failed")
        assert failed["encoder"].startswith("default-encoder@")
        # The models of both encoders were mixed, so Triton itself is started again.
        shop.wait_until_ready(client)
    shop.check("other")


def test_a_model_that_dies_while_the_new_ones_are_loaded_ends_the_change(shop):
    with shop.client() as client:
        client.rollback()
        shop.wait_for_stage("loading the models")
        shop.kill_model("text_preprocess")
        failed = shop.wait_for_change("failed")
        assert "Triton was started again meanwhile; the encoder before goes on serving" in failed["message"]
        shop.wait_until_ready(client)
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
    assert done["encoder"].startswith("default-encoder@")
    shop.check("default-encoder")


def test_a_model_that_dies_while_products_are_embedded_does_not_stop_the_embedding(shop, encoders):
    worker = shop.begin_reindex(encoders["small"])
    # Held until Triton is back, so that the death comes while it embeds on a machine of any speed.
    os.kill(worker, signal.SIGSTOP)
    try:
        assert shop.change()["stage"] == "embedding"
        before = shop.triton_pid()
        shop.kill_model("text_preprocess")
        with shop.client() as client:
            shop.wait_until_ready(client, other_than=before)
    finally:
        os.kill(worker, signal.SIGCONT)
    done = shop.run("reindex", "--checkpoint", str(encoders["small"]))
    assert done["encoder"].startswith("small@")
    assert shop.change()["pid"] == worker
    shop.check("small")
