"""A process sees in the memory shared with Triton whether its answer is still waited for."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest

from product_match.triton import batches
from product_match.triton.batches import BatchServer
from product_match.triton.process import GIVEN_UP
from product_match.triton.waiting import TritonWait, triton_wait
from tests.fakes import pb_utils
from tests.fakes.pb_utils import InferenceRequest
from tests.unit.test_batches import SPEC, add, row

CONTROL, QUEUE = 336, 1008


def write_region(path, size=1000, head=2, tail=2, queue=QUEUE):
    """Lay a region out as Triton does: control structure and queue, each after 16 bytes about its owners."""
    region = bytearray(4096)
    struct.pack_into("<q", region, CONTROL + 16 + 8 + 40 + 40, queue)
    struct.pack_into("<Qqii", region, QUEUE + 16 + 32 + 32 + 40, size, 640, head, tail)
    path.write_bytes(region)
    return path


def command(region="/mine", control=str(CONTROL)):
    return ["/b/python/triton_python_backend_stub", "m.py", region, "4", "4", "1", "/b", control, "m_0_0", "DEFAULT"]


def test_triton_waits_until_it_sends_something_more(tmp_path):
    region = write_region(tmp_path / "mine")
    wait = triton_wait(command(), tmp_path)
    assert wait is not None
    assert not wait.over()
    with region.open("r+b") as file:
        file.seek(QUEUE + 16 + 104 + 16)
        file.write(struct.pack("<i", 3))
    assert wait.over()


def test_a_process_that_triton_did_not_start_waits_for_nothing():
    assert triton_wait() is None
    assert triton_wait(["python", "-c", "pass"]) is None


@pytest.mark.parametrize(
    "layout",
    [{"size": 0}, {"head": 1}, {"head": 1000, "tail": 1000}, {"queue": 1 << 40}, {"queue": 4090}],
)
def test_memory_of_another_layout_is_told_and_left_alone(tmp_path, caplog, layout):
    write_region(tmp_path / "mine", **layout)
    assert triton_wait(command(), tmp_path) is None
    assert "not laid out as expected" in caplog.text


def test_where_there_is_no_such_memory_that_is_told(tmp_path, caplog):
    assert triton_wait(command(), tmp_path) is None
    assert "No such file" in caplog.text
    write_region(tmp_path / "mine")
    assert triton_wait(command(control="no number"), tmp_path) is None
    assert triton_wait(command()[:5], tmp_path) is None
    with pytest.raises(ValueError, match="size 7, head 1, tail 2 are not those of a queue"):
        TritonWait(write_region(tmp_path / "mine", size=7, head=1), CONTROL)
    with pytest.raises(ValueError, match="the queue is outside of the first 4096 bytes"):
        TritonWait(write_region(tmp_path / "mine", queue=5000), CONTROL)


class Wait:
    """Is over after it was asked so often."""

    def __init__(self, asked):
        self.left = asked

    def over(self):
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize(("asked", "handled"), [(0, 0), (1, 0), (2, 1)])
def test_a_batch_that_triton_has_given_up_is_not_answered(monkeypatch, asked, handled):
    ended, batches_handled = [], []

    def end(model):
        ended.append(model)
        raise SystemExit

    def handle(requests):
        batches_handled.append(requests)
        return add(requests)

    monkeypatch.setattr(batches, "end_given_up", end)
    server = BatchServer(pb_utils, SPEC, handle)
    server._wait = Wait(asked)
    with pytest.raises(SystemExit):
        server.execute([InferenceRequest(row(1, 2))])
    assert (ended, len(batches_handled)) == (["adder"], handled)


def test_a_handler_gets_tensors_that_nobody_else_writes():
    given = row(1, 2)
    seen = []

    def handle(requests):
        given["value"][:] = 7
        seen.append(requests[0].tensors["value"].tolist())
        return add(requests)

    BatchServer(pb_utils, SPEC, handle).execute([InferenceRequest(given)])
    assert seen == [[[1, 2]]]


def test_a_process_that_was_given_up_ends_and_says_why():
    program = "from product_match.triton.process import end_given_up; end_given_up('retrieval')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == GIVEN_UP
    assert "retrieval: Triton took this process for dead" in done.stderr
