"""A process that Triton started ends when Triton is killed, whatever the backend's own watch does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from product_match.triton.process import end_with_parent, prepare_process
from tests.fakes import pb_utils

CHILD = "import time; from product_match.triton.process import end_with_parent; end_with_parent(); time.sleep(60)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}])
print(child.pid, flush=True)
child.wait()
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_ends_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        time.sleep(1)  # the child has to take note of its parent first
        assert alive(child)
        parent.kill()
    deadline = time.monotonic() + 20
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        assert not alive(child)
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)


def test_a_process_lives_on_while_its_parent_does():
    end_with_parent()
    prepare_process(pb_utils)
