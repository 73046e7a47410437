"""What a real stack does when one of its processes is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from pymongo import MongoClient

from product_match.host.platforms import SHARED_MEMORY
from product_match.host.processes import process_alive, wait_until_gone
from product_match.stack.state import StateDirectory
from product_match.triton.waiting import triton_wait
from tests.fakes.encoders import encoder_spec
from tests.fakes.stack_program import MODELS, StackProgram, kill_all

pytestmark = pytest.mark.triton


@pytest.fixture
def encoder(tmp_path):
    directory = tmp_path / "encoder"
    directory.mkdir()
    (directory / "encoder.json").write_text(encoder_spec().to_json())
    return directory


@pytest.fixture
def program(tmp_path, encoder):
    """Starts programs that serve a stack; none outlives the test."""
    started = []

    def start(model="echo", **fields):
        given = {
            "encoder_directory": encoder,
            "state_directory": tmp_path / "state",
            "model_repository": MODELS / model,
        }
        started.append(StackProgram(**{**given, **fields}))
        return started[-1]

    yield start
    kill_all(started)


def shared_memory(state_directory):
    return list(SHARED_MEMORY.glob(StateDirectory(state_directory).shared_memory_prefix + "*"))


def ask(endpoint, words, model="echo"):
    request = urllib.request.Request(
        f"http://{endpoint}/v2/models/{model}/generate", data=json.dumps({"text": words, "top_k": 3}).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(json.load(response)["answer"])


def all_processes(processes):
    return [processes["documents"], processes["triton"], *processes["models"].values()]


def test_when_the_parent_is_killed_its_children_die_and_the_next_start_works(program):
    first = program()
    processes = first.wait_for("processes")["processes"]
    assert processes["models"].keys() == {"echo"}
    first.process.send_signal(signal.SIGKILL)

    assert wait_until_gone(all_processes(processes), timeout_s=20)

    endpoints = program().wait_for("endpoints")["endpoints"]
    assert ask(endpoints["http"], "boots")["words"] == ["boots"]


def test_a_model_that_is_stuck_when_its_parent_is_killed_is_ended_by_the_next_start(tmp_path, program):
    first = program("freeze")
    started = first.wait_for("processes")
    stuck = started["processes"]["models"]["freeze"]
    request = ask_freeze(started)
    first.process.send_signal(signal.SIGKILL)
    assert wait_until_gone([started["processes"]["triton"]], timeout_s=20)
    assert request.wait(20) == 1
    assert process_alive(stuck)
    left = shared_memory(tmp_path / "state")
    assert left

    program("echo").wait_for("endpoints")
    assert not process_alive(stuck)
    assert not set(left) & set(shared_memory(tmp_path / "state"))


def test_a_process_reads_in_the_memory_of_this_triton_whether_it_is_still_waited_for(program):
    """A Triton that laid the memory out otherwise would switch off what keeps answers from others' requests."""
    started = program("freeze").wait_for("processes")
    held = started["processes"]["models"]["freeze"]
    request = ask_freeze(started)
    wait = triton_wait(Path(f"/proc/{held}/cmdline").read_text().split("\0"))
    assert wait is not None
    assert not wait.over()
    os.kill(held, signal.SIGSTOP)
    assert request.wait(20) == 1
    deadline = time.monotonic() + 20
    while not wait.over():
        assert time.monotonic() < deadline, "Triton has given the process up, and its memory does not say so"


def ask_freeze(started):
    """Send a request that is never answered; return its process once the model is at it."""
    url = f"http://{started['endpoints']['http']}/v2/models/freeze/generate"
    request = subprocess.Popen(
        [sys.executable, "-c", f'import urllib.request as r; r.urlopen({url!r}, data=b\'{{"text": "a"}}\')'],
        stderr=subprocess.DEVNULL,
    )
    wait_until_busy(started["processes"]["models"]["freeze"])
    return request


def wait_until_busy(pid):
    """Wait until a thread of the process is in the model's sleep (clock_nanosleep, call number 230)."""
    deadline = time.monotonic() + 20
    while not any(
        task.read_text().startswith("230 0x0 0x0") or task.read_text().startswith("230 0x1 0x0")
        for task in Path(f"/proc/{pid}/task").glob("*/syscall")
    ):
        assert time.monotonic() < deadline, "the model was never called"
        os.sched_yield()


def test_when_triton_is_killed_the_program_ends_with_a_message_that_names_the_log(tmp_path, program):
    serving = program()
    processes = serving.wait_for("processes")["processes"]
    os.kill(processes["triton"], signal.SIGKILL)

    code, events = serving.finish()
    assert code == 1
    error = events[-1]
    assert error["class"] == "StackError"
    assert error["error"].startswith("Triton ended with signal SIGKILL; its log is ")
    assert str(tmp_path / "state" / "logs" / "triton.log") + ", its last lines:" in error["error"]
    assert "Started HTTPService" in error["error"]
    assert not any(process_alive(pid) for pid in all_processes(processes))
    assert shared_memory(tmp_path / "state") == []


def test_a_killed_document_store_is_started_again_and_no_acknowledged_write_is_lost(program):
    serving = program()
    started = serving.wait_for("processes")
    uri = started["endpoints"]["mongodb"]
    with MongoClient(uri) as client:
        client["shop"]["things"].insert_many([{"_id": number} for number in range(500)])
        client["shop"]["things"].update_one({"_id": 7}, {"$set": {"colour": "navy"}})
    os.kill(started["processes"]["documents"], signal.SIGKILL)

    assert "started again" in serving.wait_for("progress", "the document store")["progress"]
    with MongoClient(uri, serverSelectionTimeoutMS=20_000) as client:
        assert client["shop"]["things"].count_documents({}) == 500
        assert client["shop"]["things"].find_one({"_id": 7})["colour"] == "navy"
    assert ask(started["endpoints"]["http"], "boots")["words"] == ["boots"]


def test_a_document_store_that_keeps_dying_ends_the_program(program):
    serving = program(restarts={"limit": 0})
    os.kill(serving.wait_for("processes")["processes"]["documents"], signal.SIGKILL)

    code, events = serving.finish()
    assert code == 1
    assert (
        "it died 1 times within 120 s and is not started again: the document store ended with" in events[-1]["error"]
    )
    assert "documents.log" in events[-1]["error"]


def test_a_killed_model_is_brought_back_although_triton_does_not_notice(program):
    serving = program()
    started = serving.wait_for("processes")
    os.kill(started["processes"]["models"]["echo"], signal.SIGKILL)

    assert "the model echo died" in serving.wait_for("progress", "died")["progress"]
    serving.wait_for("progress", "ready again")
    assert ask(started["endpoints"]["http"], "boots")["words"] == ["boots"]


def test_a_model_that_keeps_dying_ends_the_program(program):
    serving = program(restarts={"limit": 0})
    os.kill(serving.wait_for("processes")["processes"]["models"]["echo"], signal.SIGKILL)

    code, events = serving.finish()
    assert code == 1
    assert "is not started again: the process of the model echo died; its log is " in events[-1]["error"]
