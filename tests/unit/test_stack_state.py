"""The state directory: one server, one encoder, nothing left of a killed one."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys

import pytest

from product_match.contract.errors import ConfigError, StackError
from product_match.host.platforms import SHARED_MEMORY
from product_match.host.processes import process_alive
from product_match.stack.state import Endpoints, StateDirectory

ENDPOINTS = Endpoints(
    http="127.0.0.1:1",
    grpc="127.0.0.1:2",
    metrics="127.0.0.1:3",
    mongodb="mongodb://127.0.0.1:4",
    encoder="a@b",
    pid=5,
)
HOLD = """
import fcntl, os, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, sys.argv[2].encode())
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Starts another process that holds the lock and has written something into it."""
    started = []

    def start(text):
        (tmp_path / "state").mkdir(exist_ok=True)
        command = [sys.executable, "-c", HOLD, str(tmp_path / "state" / "lock"), text]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(20)
        process.stdout.close()


@pytest.fixture
def state(tmp_path):
    directory = StateDirectory(tmp_path / "state")
    yield directory
    directory.release()


def dead_process():
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def test_a_locked_directory_is_private_and_has_its_parts(state):
    state.lock()
    assert state.path.stat().st_mode & 0o777 == 0o700
    assert all(part.is_dir() for part in (state.logs, state.documents, state.index))
    assert state.model_repository.parent == state.backends.parent == state.path
    state.release()
    state.lock()


def test_the_lock_file_tells_who_holds_it_and_where_it_answers(state):
    state.lock()
    assert json.loads((state.path / "lock").read_text()) == {"pid": os.getpid()}
    state.announce(ENDPOINTS)
    assert json.loads((state.path / "lock").read_text())["http"] == "127.0.0.1:1"
    assert json.loads((state.path / "endpoints.json").read_text())["mongodb"] == "mongodb://127.0.0.1:4"
    state.release()
    assert (state.path / "lock").read_text() == ""
    assert not (state.path / "endpoints.json").exists()
    state.release()


def test_a_second_server_is_told_the_process_and_the_addresses(state, holder):
    process = holder("placeholder")
    text = json.dumps({"pid": process.pid, "http": "127.0.0.1:8000", "grpc": "127.0.0.1:8001"})
    (state.path / "lock").write_text(text)
    with pytest.raises(StackError) as refused:
        state.lock()
    assert str(refused.value) == (
        f"another server is using the state directory {state.path}: process {process.pid}, which answers on "
        "http 127.0.0.1:8000, grpc 127.0.0.1:8001; use that one, stop it, or give another directory with --state-dir"
    )
    assert process_alive(process.pid)


def test_a_server_that_has_not_written_its_name_yet_is_left_alone(state, holder):
    process = holder("")
    with pytest.raises(StackError, match=rf"process \[{process.pid}\], which is still starting; use that one"):
        state.lock()
    assert process_alive(process.pid)


def test_what_outlived_a_killed_server_is_ended(state, holder):
    orphan = holder(json.dumps({"pid": dead_process()}))
    state.lock()
    assert orphan.wait(20) == -9


def test_a_lock_that_cannot_be_taken_from_the_dead_is_told(state, monkeypatch):
    gone = dead_process()
    state.path.mkdir()
    (state.path / "lock").write_text(json.dumps({"pid": gone}))
    monkeypatch.setattr("product_match.stack.state._ORPHAN_WAIT_S", 0.0)
    with (state.path / "lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StackError, match=f"another server is using the state directory .*process {gone}"):
            state.lock()


def test_what_a_killed_server_left_is_removed_and_nothing_else(state):
    state.path.mkdir()
    left = SHARED_MEMORY / f"{state.shared_memory_prefix}left"
    other = SHARED_MEMORY / f"not_{state.shared_memory_prefix}"
    try:
        for file in (left, other, state.owner_socket(), state.path / "endpoints.json"):
            file.touch()
        state.lock()
        assert not left.exists()
        assert not state.owner_socket().exists()
        assert not (state.path / "endpoints.json").exists()
        assert other.exists()
    finally:
        left.unlink(missing_ok=True)
        other.unlink()


def test_each_directory_has_its_own_names_in_shared_memory(tmp_path):
    prefixes = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prefixes.add(StateDirectory(tmp_path / name).shared_memory_prefix)
    (tmp_path / "link").symlink_to("one")
    prefixes.add(StateDirectory(tmp_path / "link").shared_memory_prefix)
    assert len(prefixes) == 2


def test_a_socket_whose_path_would_be_too_long_lies_in_the_temporary_directory(tmp_path):
    long = StateDirectory(tmp_path / ("x" * 120))
    long.path.mkdir()
    assert long.path not in long.owner_socket().parents
    assert len(os.fsencode(long.owner_socket())) < 100
    short = StateDirectory(tmp_path / "short")
    assert short.owner_socket() == tmp_path / "short" / "owner.sock" or len(str(tmp_path)) > 80


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be used \(Not a directory\); give another with --state-dir"):
        StateDirectory(tmp_path / "file" / "state").lock()


def test_the_lock_is_asked_for_before_it_is_passed_on(state):
    with pytest.raises(StackError, match=r"is not locked; call lock\(\) first"):
        _ = state.lock_descriptor
