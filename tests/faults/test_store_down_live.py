"""A store that hangs or dies under the live server: a clear refusal, the server up, service again by itself."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from tests.fakes.live_server import start_server
from tests.integration.conftest import SAMPLE, index_tensors, sample_products

pytestmark = pytest.mark.triton

PRODUCTS = sample_products(6)
PHOTO = (SAMPLE / PRODUCTS[0]["image"]).read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    live = start_server(tmp_path_factory.mktemp("down") / "state")
    live.infer("product_index", index_tensors(PRODUCTS), wait=True)
    yield live
    assert live.stop() == 0


def document_store(server):
    """Pid of the document store, a child of the server."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    named = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return next(pid for pid, command in named.items() if b"nx_27017" in command or b"nx-27017" in command)


def match(server):
    (row,) = server.infer("product_match_image", {"image_bytes": [PHOTO]}, top_k=1)
    return row["matches"][0]["product_id"]


def match_again(server, seconds=30):
    """Ask until it is answered; the test's own limit, not a measurement."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return match(server)
        except InferenceServerException:
            if time.monotonic() > deadline:
                raise


def assert_unavailable(call, words):
    with pytest.raises(InferenceServerException) as caught:
        call()
    assert caught.value.status() == "StatusCode.UNAVAILABLE"
    assert words in caught.value.message()


def test_a_hanging_document_store_is_unavailable_and_service_resumes(server):
    store = document_store(server)
    os.kill(store, signal.SIGSTOP)
    try:
        assert_unavailable(lambda: match(server), "document store")
        changed = index_tensors([{**PRODUCTS[0], "price": 3.0}])
        assert_unavailable(lambda: server.infer("product_index", changed), "document store")
        with urllib.request.urlopen(f"http://{server.http}/v2/health/ready", timeout=5) as response:
            assert response.status == 200
    finally:
        os.kill(store, signal.SIGCONT)
    assert match_again(server) == PRODUCTS[0]["id"]


def test_a_killed_document_store_comes_back_by_itself_with_everything(server):
    store = document_store(server)
    os.kill(store, signal.SIGKILL)
    assert match_again(server) == PRODUCTS[0]["id"]
    assert document_store(server) != store
    (receipt,) = server.infer("product_index", index_tensors(PRODUCTS[1:2]))
    assert receipt["status"] == "unchanged"
