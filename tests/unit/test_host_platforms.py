"""What the local stack needs is checked before anything starts, and told plainly where it is missing."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import sys
from pathlib import Path

import pytest

from product_match.contract.errors import PlatformError
from product_match.host import platforms
from product_match.host.platforms import Machine, check_machine, check_numpy, find_libpython, python_directory
from product_match.stack import document_server as documents
from product_match.stack import triton_server as triton

FACTS = {"system": "Linux", "architecture": "x86_64", "libc": "glibc", "libc_version": "2.36", "python": (3, 11)}


@pytest.mark.parametrize("python", [(3, 10), (3, 11), (3, 12)])
def test_the_supported_machines_pass(python):
    check_machine(Machine(**{**FACTS, "python": python}))


def test_the_machine_that_runs_the_tests_passes():
    check_machine(Machine.this())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"system": "Darwin", "architecture": "arm64"},
            "this is Darwin on arm64; use such a machine, or the production",
        ),
        ({"architecture": "aarch64"}, "this is Linux on aarch64"),
        ({"libc_version": "2.31"}, "this system has glibc 2.31; use such a machine"),
        ({"libc": "", "libc_version": ""}, "this system has another C library (musl?)"),
        ({"python": (3, 9)}, "this is Python 3.9; make a virtual environment with one of those"),
        ({"python": (3, 13)}, "this is Python 3.13"),
    ],
)
def test_an_unsupported_machine_is_told_what_is_supported(changes, words):
    with pytest.raises(PlatformError) as refused:
        check_machine(Machine(**{**FACTS, **changes}))
    assert f"needs {platforms.SUPPORTED}; {words}" in str(refused.value)


def test_numpy_2_is_refused_because_the_stub_would_die_of_it():
    check_numpy("1.26.4")
    with pytest.raises(PlatformError, match=r"needs numpy below 2, this environment has 2\.1\.0; run `pip install"):
        check_numpy("2.1.0")


def test_a_missing_libpython_is_named_with_what_to_install(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PlatformError) as refused:
        find_libpython([tmp_path / "empty", tmp_path / "absent"], (3, 12))
    words = str(refused.value)
    assert words.startswith(f"libpython3.12.so.1.0 was not found in {tmp_path}/empty, {tmp_path}/absent; ")
    assert "`apt install libpython3.12`" in words
    assert "`PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install 3.12`" in words


def test_the_first_directory_with_libpython_wins(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    for name in ("two", "three"):
        (tmp_path / name / "libpython3.10.so.1.0").touch()
    found = find_libpython([tmp_path / "one", tmp_path / "two", tmp_path / "three"], (3, 10))
    assert found == tmp_path / "two" / "libpython3.10.so.1.0"


def test_libraries_are_looked_for_beside_the_interpreter_first_then_in_the_environment(monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/python/lib::")
    directories = platforms.library_directories()
    assert directories.index(Path(sys.base_prefix) / "lib") < directories.index(Path("/opt/python/lib"))
    assert directories.index(Path("/opt/python/lib")) < directories.index(Path("/usr/lib/x86_64-linux-gnu"))
    assert len(directories) == len(set(directories))


def test_an_interpreter_whose_python3_is_another_one_is_refused(tmp_path):
    executable = tmp_path / "python3.11"
    executable.touch()
    with pytest.raises(
        PlatformError, match=r"python3 is not the interpreter in use .*run from a virtual environment"
    ):
        python_directory(executable)
    (tmp_path / "python3.10").touch()
    (tmp_path / "python3").symlink_to("python3.10")
    with pytest.raises(PlatformError, match="packages; run from a virtual environment"):
        python_directory(executable)
    (tmp_path / "python3").unlink()
    (tmp_path / "python3").symlink_to("python3.11")
    assert python_directory(executable) == tmp_path


def test_shared_memory_is_used_sparingly_where_there_is_little_and_too_little_is_told():
    mib = 1024 * 1024
    assert platforms.shared_memory_step(64 * mib) == mib
    assert platforms.shared_memory_step(platforms.free_shared_memory()) in (mib, 4 * mib)
    assert platforms.shared_memory_step(2048 * mib) == 4 * mib
    with pytest.raises(
        PlatformError, match=r"has 31 MiB free, at least 32 MiB are needed .*docker run --shm-size=256m"
    ):
        platforms.shared_memory_step(31 * mib)


def test_the_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        PlatformError, match=r"nvidia-pytriton is missing; run `pip install product-match\[embedded\]`"
    ):
        triton.locate_runtime()
    with pytest.raises(PlatformError, match=r"nx-27017 is missing; run `pip install product-match\[embedded\]`"):
        documents.command_line(tmp_path, 27017)


def test_a_wheel_that_lacks_a_file_is_named_with_the_file(monkeypatch, tmp_path):
    spec = importlib.machinery.ModuleSpec("pytriton", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "pytriton")]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(PlatformError, match=r"nvidia-pytriton package lacks .*bin/tritonserver; install it again"):
        triton.locate_runtime()


def test_the_numpy_of_the_environment_is_the_one_that_is_checked(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"numpy": "2.0.1"}[name])
    with pytest.raises(PlatformError, match=r"has 2\.0\.1"):
        triton.locate_runtime()
