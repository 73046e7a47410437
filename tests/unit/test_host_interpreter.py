"""Processes beside Triton's stub are started with a Python program of the same version."""

from __future__ import annotations

import subprocess
import sys

import pytest

from product_match.contract.errors import ConfigError
from product_match.host import interpreter
from product_match.host.interpreter import python_executable, python_path


def test_a_python_program_is_found_where_the_running_program_is_none(monkeypatch):
    assert python_executable() == sys.executable
    monkeypatch.setattr(sys, "executable", "/opt/triton/triton_python_backend_stub")
    found = python_executable()
    answer = subprocess.run([found, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True)
    assert answer.stdout.strip() == str(sys.version_info[:2])


def test_a_machine_without_a_python_program_is_told_so(monkeypatch):
    for name in ("executable", "_base_executable"):
        monkeypatch.setattr(sys, name, "")
    for name in ("prefix", "base_prefix", "exec_prefix"):
        monkeypatch.setattr(sys, name, "/nowhere")
    monkeypatch.setattr(interpreter.shutil, "which", lambda _: None)
    with pytest.raises(ConfigError, match=r"no python3\.\d+ program was found beside this process; put the one"):
        python_executable()


def test_the_path_leads_another_process_to_the_same_packages():
    code = "import product_match; print(product_match.__file__)"
    command = [sys.executable, "-I", "-c", f"import sys; sys.path[:] = {python_path().split(':')!r}; {code}"]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        == sys.modules["product_match"].__file__
    )
