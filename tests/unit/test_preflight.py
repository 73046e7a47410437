"""What the doctor finds of machines and settings that the test makes up, and what it advises."""

from __future__ import annotations

import dataclasses
import json
import socket
import sys
from datetime import date, datetime, timedelta, timezone

import pytest

from product_match.contract.access import Key, KeyRing, Scope
from product_match.host.platforms import MIB, Machine
from product_match.preflight import __main__ as program
from product_match.preflight import checks, report
from product_match.preflight.checks import GIB, State
from product_match.settings import Secret, VectorIndexKind
from product_match_client.cli.command import main
from tests.fakes.qdrant_server import FakeQdrant

TODAY = date(2027, 1, 1)


def smi(*lines, code=0):
    return (sys.executable, "-c", f"import sys; print({chr(10).join(lines)!r}); sys.exit({code})")


def ring(**key):
    entry = Key(**{"name": "shop", "sha256": "0" * 64, "may": frozenset({Scope.WRITE}), **key})
    return Secret(KeyRing(open=frozenset({Scope.SEARCH}), keys=(entry,)).to_json())


@pytest.mark.parametrize(
    ("finding", "state", "words"),
    [
        (checks.memory(3 * GIB), State.FINE, "3.0 GiB available"),
        (checks.memory(GIB), State.WRONG, "allow at least 2 GiB"),
        (checks.shared_memory(512 * MIB), State.FINE, "512 MiB free in /dev/shm"),
        (checks.shared_memory(64 * MIB), State.LOOK, "256 MiB for large batches (--shm-size)"),
        (checks.shared_memory(MIB), State.WRONG, "at least 32 MiB are needed"),
        (checks.versions(("numpy", "no-such-package")), State.FINE, "numpy 1."),
        (
            checks.machine(Machine(system="Darwin", architecture="arm64", libc="", libc_version="", python=(3, 12))),
            State.WRONG,
            "this is Darwin on arm64",
        ),
        (checks.clock(datetime(2027, 1, 1), datetime(2027, 1, 1, 0, 0, 1, tzinfo=timezone.utc)), State.FINE, "1.0 s"),
        (checks.clock(datetime(2027, 1, 1), datetime(2027, 1, 1, 0, 0, 9, tzinfo=timezone.utc)), State.WRONG, "NTP"),
    ],
)
def test_each_check_says_what_it_found_and_what_to_do(finding, state, words):
    assert finding.state is state
    assert words in finding.found + finding.advice
    assert bool(finding.advice) is (state is not State.FINE)


def test_a_numpy_that_triton_cannot_read_is_wrong(monkeypatch):
    monkeypatch.setattr(checks.importlib.metadata, "version", lambda name: "2.1.0")
    assert "run `pip install 'numpy<2'`" in checks.versions(("numpy",)).advice


@pytest.mark.parametrize(
    ("needed", "command", "state", "words"),
    [
        (False, ("/nowhere",), State.FINE, "cannot be asked (FileNotFoundError): none is needed"),
        (True, ("/nowhere",), State.WRONG, "or use the profile `cpu`"),
        (True, smi("No devices were found", code=6), State.WRONG, "tells of none"),
        (True, smi("NVIDIA L4, 580.95.05, 23034, 8.9"), State.FINE, "NVIDIA L4, 23034 MiB, compute capability 8.9"),
        (True, smi("NVIDIA L4, 550.54.15, 23034, 8.9"), State.WRONG, "CUDA 13 needs driver 580 or later"),
        (False, smi("Tesla V100, 580.95.05, 16384, 7.0"), State.WRONG, "needs compute capability 7.5 or later"),
    ],
)
def test_a_gpu_has_to_fit_where_one_is_needed(needed, command, state, words):
    (finding,) = checks.gpu(needed, command)
    assert finding.state is state
    assert words in finding.found + finding.advice


def test_a_container_has_its_own_limit_of_memory(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9999 kB\nMemAvailable:   4194304 kB\n")
    assert checks.available_memory(tmp_path, tmp_path / "none") == 4 * GIB
    (tmp_path / "memory.current").write_text(f"{GIB}\n")
    for limit, expected in (("max", 4 * GIB), (str(3 * GIB), 2 * GIB)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert checks.available_memory(tmp_path, tmp_path) == expected


def test_a_full_disk_is_told_of_the_nearest_place_that_is_there(tmp_path, monkeypatch):
    assert checks.disk(tmp_path / "not" / "yet").state is State.FINE
    monkeypatch.setattr(checks, "LEAST_DISK", 2**62)
    assert f"free at {tmp_path}" in checks.disk(tmp_path / "not" / "yet").found
    assert "make room" in checks.disk(tmp_path).advice


def test_a_port_that_is_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (finding,) = checks.ports({"HTTP": port})
    assert (finding.state, finding.found) == (State.LOOK, f"in use: {port} (HTTP)")
    assert "is a server up already?" in finding.advice


@pytest.mark.parametrize(
    ("keys", "state", "words"),
    [
        (Secret(""), State.LOOK, "none: all is open"),
        (Secret("pm_a"), State.WRONG, "they are not JSON"),
        (ring(), State.FINE, "1, open without: search"),
        (ring(expires=TODAY + timedelta(days=30)), State.FINE, "1, open without: search"),
        (ring(expires=TODAY + timedelta(days=3)), State.LOOK, "expired, or soon: shop (2027-01-04)"),
    ],
)
def test_keys_are_readable_and_good_for_a_while(catalogue_settings, keys, state, words):
    finding = checks.keys(dataclasses.replace(catalogue_settings, keys=keys), TODAY)
    assert finding.state is state
    assert words in finding.found + finding.advice


def examined(settings):
    return {finding.what: finding for finding in report.examine(settings.to_environment(), ports={})}


def test_the_stores_of_the_settings_are_asked(catalogue_settings):
    with FakeQdrant(api_key="key") as qdrant:
        served = dataclasses.replace(
            catalogue_settings,
            vector_index=VectorIndexKind.SERVER,
            qdrant_url=qdrant.address,
            qdrant_api_key=Secret("key"),
            keys=ring(),
        )
        found = examined(served)
        assert {what for what, finding in found.items() if finding.state is State.WRONG} == set()
        assert {"encoder", "keys", "document store", "vector index"} <= found.keys()
        wrong = examined(dataclasses.replace(served, qdrant_api_key=Secret("old")))
        assert "refuses the API key" in wrong["vector index"].advice
    away = examined(dataclasses.replace(catalogue_settings, mongodb_uri=Secret("mongodb://127.0.0.1:1/")))
    assert "it does not answer" in away["document store"].advice
    assert away["vector index"].found == "in process"


def test_settings_and_encoders_that_cannot_be_read_are_wrong(catalogue_settings, tmp_path):
    odd = {**catalogue_settings.to_environment(), "PRODUCT_MATCH_COLOUR": "red"}
    (finding,) = [one for one in report.examine(odd, ports={}) if one.what == "settings"]
    assert "PRODUCT_MATCH_COLOUR is not a setting" in finding.advice
    gone = dataclasses.replace(
        catalogue_settings, encoder_directory=tmp_path, vector_index=VectorIndexKind.SERVER, qdrant_url="q:6334"
    )
    found = examined(gone)
    assert "is not an encoder directory" in found["encoder"].advice
    assert "is not an encoder directory" in found["vector index"].advice


def test_both_programs_print_the_same_and_end_with_1_where_something_is_wrong(monkeypatch, capsys):
    for finding, code in ((checks.fine("disk", "much"), 0), (checks.wrong("disk", "none", "make room"), 1)):
        monkeypatch.setattr(report, "examine", lambda *_, finding=finding, **__: [finding])
        monkeypatch.setattr(program, "examine", report.examine)
        assert main(["doctor"]) == code
        (printed,) = json.loads(capsys.readouterr().out)
        assert (printed["what"], printed["state"]) == ("disk", finding.state.value)
        monkeypatch.setattr(sys, "argv", ["preflight"])
        assert program.main() == code
        assert finding.found in capsys.readouterr().out
