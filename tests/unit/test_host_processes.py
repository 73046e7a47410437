"""Children log to a file, die with their parent and stop within a bounded time."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

import pytest

from product_match.contract.errors import StackError
from product_match.host import launcher
from product_match.host.processes import (
    LAUNCHER,
    ChildProcess,
    children_of,
    model_of,
    process_alive,
    wait_until_gone,
)

PYTHON = sys.executable
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"  # its parent must kill it
    " print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def child(tmp_path):
    """Makes children; none outlives the test."""
    made = []

    def make(*command):
        made.append(
            ChildProcess(
                name="the child", command=command, environment=dict(os.environ), log_file=tmp_path / "child.log"
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.stop(0.0)


def wait_for_log(child, words):
    while words not in (child.log_file.read_text() if child.log_file.exists() else ""):
        assert child.running, child.log_file.read_text()
        os.sched_yield()


def test_a_child_logs_both_streams_and_tells_how_it_ended(child):
    one = child(PYTHON, "-c", "import sys; print('out'); sys.stdout.flush(); sys.exit('went wrong')")
    assert (one.pid, one.exit_status, one.running) == (0, None, False)
    one.start()
    assert wait_until_gone([one.pid], timeout_s=20)
    assert one.exit_status == 1
    assert one.describe_end() == (
        f"the child ended with exit code 1; its log is {one.log_file}, its last lines:\n  out\n  went wrong"
    )


def test_each_start_has_a_fresh_log_and_keeps_the_one_before(child):
    one = child(PYTHON, "-c", "import os; print(os.getpid())")
    pids = []
    for _ in range(3):
        one.start()
        pids.append(one.pid)
        assert wait_until_gone([one.pid], timeout_s=20)
    assert one.log_file.read_text() == f"{pids[2]}\n"
    assert one.log_file.with_name("child.log.1").read_text() == f"{pids[1]}\n"


def test_a_child_that_ignores_sigterm_is_killed_with_all_it_started(child):
    nested = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); {STUBBORN}"
    one = child(PYTHON, "-c", nested)
    one.start()
    while one.log_file.read_text().count("ready") < 2:
        assert one.running
        os.sched_yield()
    grandchildren = list(children_of(one.pid))
    assert len(grandchildren) == 1
    one.stop(grace_s=0.05)
    assert one.exit_status == -signal.SIGKILL
    assert wait_until_gone(grandchildren, timeout_s=20)
    assert "ended with signal SIGKILL" in one.describe_end()
    one.stop(grace_s=0.05)


def test_stopping_what_was_never_started_does_nothing(child):
    child("true").stop(1.0)


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    one = ChildProcess(name="Triton", command=["true"], environment={}, log_file=tmp_path / "absent" / "triton.log")
    with pytest.raises(StackError, match=r"Triton cannot be started: .*No such file or directory.*disk is full"):
        one.start()


def test_a_command_that_cannot_run_is_told_in_the_log(child):
    one = child("/nowhere/tritonserver")
    one.start()
    assert wait_until_gone([one.pid], timeout_s=20)
    assert "/nowhere/tritonserver cannot be started: No such file or directory" in one.describe_end()


def test_a_child_dies_when_its_parent_is_killed(tmp_path):
    parent = subprocess.Popen(
        [
            PYTHON,
            "-c",
            "import os, sys, time; from pathlib import Path; from product_match.host.processes import ChildProcess\n"
            f"child = ChildProcess(name='c', command=[sys.executable, '-c', {STUBBORN!r}],"
            f" environment=dict(os.environ), log_file=Path({str(tmp_path / 'log')!r}))\n"
            "child.start(); print(child.pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        pid = int(parent.stdout.readline())
        while "ready" not in (tmp_path / "log").read_text():
            assert process_alive(pid)
            os.sched_yield()
        parent.kill()
    assert wait_until_gone([pid], timeout_s=20)


def test_a_child_whose_parent_died_before_it_could_ask_does_not_run():
    done = subprocess.run([PYTHON, str(LAUNCHER), "1", "echo", "ran"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_kernel_that_refuses_the_signal_is_told(monkeypatch, capsys):
    class Refusing:
        def __init__(self, name, use_errno):
            self.prctl = lambda *_: ctypes.set_errno(1) or -1

    monkeypatch.setattr(ctypes, "CDLL", Refusing)
    assert launcher.main([str(os.getppid()), "true"]) == 1
    assert capsys.readouterr().err == "prctl(PR_SET_PDEATHSIG) failed: Operation not permitted\n"


def test_waiting_for_a_process_that_lives_gives_up():
    assert not wait_until_gone([os.getpid()], timeout_s=0.03)


def test_the_children_of_a_process_are_listed_with_their_command_lines(child):
    one = child(PYTHON, "-c", STUBBORN)
    one.start()
    wait_for_log(one, "ready")
    assert children_of(os.getpid())[one.pid][:3] == [PYTHON, "-c", STUBBORN]
    assert one.pid not in children_of(one.pid)


@pytest.mark.parametrize(
    ("command", "model"),
    [
        (["stub", "/repository/indexing/1/model.py", "region"], "indexing"),
        (["/bin/tritonserver", "--model-repository=/repository/x/y"], ""),
        (["stub"], ""),
    ],
)
def test_a_child_of_triton_is_known_by_its_adapter(command, model):
    assert model_of(command) == model
