"""`python -m benchmarks.load` against a server in a thread, with a perf_analyzer that is a shell script."""

from __future__ import annotations

import base64
import json
import os
import struct
import sys

import pytest

from benchmarks.load import perf_analyzer
from benchmarks.load.__main__ import main
from benchmarks.load.plot import plot_latency, series
from benchmarks.load.runs import RunResult
from benchmarks.load.summaries import summarise
from product_match.contract.errors import ConfigError, UnavailableError
from product_match_client.endpoints import parse_endpoint
from tests.fakes.load_server import REFUSAL, ServerThread

HEADER = "Concurrency,Inferences/Second,Client Send,p50 latency,p90 latency,p95 latency,p99 latency,Avg latency"
CSV = f"{HEADER}\n2,150.5,20,1000,1100,1200,1500,1250\n"


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    words = [f"{first}{second}na" for first in "bdfg" for second in "aeio"]
    path.write_text("\n".join(f"{a} {b} {c}" for a in words for b in words for c in words[:8]))
    return path


@pytest.fixture
def analyzer(tmp_path, monkeypatch):
    """Put a perf_analyzer beside nothing else on the path; it runs the lines that it is given."""

    def install(lines):
        program = tmp_path / "bin" / "perf_analyzer"
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n" + lines)
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program.parent / "python"))

    return install


WRITE_CSV = 'while [ "$1" != -f ]; do shift; done\ncat > "$2" <<END\n' + CSV + "END\n"


def bench(capsys, *arguments):
    code = main([*arguments])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else None, captured.err


def test_a_bench_prints_every_run_as_json_and_writes_report_and_plots(tmp_path, texts, capsys):
    with ServerThread() as server:
        code, report, notes = bench(
            capsys,
            *("--url", server.endpoint.url, "--kind", "text", "--texts", str(texts), "--seed", "5"),
            *("--concurrency", "1,2", "--rate", "500", "--requests", "6", "--warm-up", "2", "--top-k", "3"),
            *("--out", str(tmp_path / "out")),
        )
        sent = list(server.bodies)
    assert code == 0
    assert report["seed"] == 5
    assert [run["load"] for run in report["runs"]] == ["1 in flight", "2 in flight", "500 a second"]
    assert [(run["requests"], run["errors"]) for run in report["runs"]] == [(6, 0)] * 3
    assert len(sent) == len(set(sent)) == 3 * 8
    assert all(b'"top_k":3' in body for body in sent)
    assert "text over http, 2 in flight" in notes
    assert json.loads((tmp_path / "out" / "bench.json").read_text())["runs"] == report["runs"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json", "latency.png", "latency.svg"}


def test_refusals_are_counted_and_end_with_code_1(texts, capsys):
    with ServerThread(REFUSAL) as server:
        code, report, _ = bench(
            capsys,
            *("--url", server.endpoint.url, "--kind", "text", "--texts", str(texts)),
            *("--concurrency", "2", "--warm-up", "0", "--repeats", "3"),
        )
    assert code == 1
    assert (report["runs"][0]["requests"], report["runs"][0]["errors"]) == (2, 2)
    assert report["runs"][0]["repeated"] is True


def test_perf_analyzer_gets_other_inputs_and_is_compared(texts, capsys, analyzer):
    analyzer(WRITE_CSV)
    with ServerThread() as server:
        code, report, _ = bench(
            capsys,
            *("--url", server.endpoint.url, "--kind", "text", "--texts", str(texts), "--perf-analyzer"),
            *("--concurrency", "2", "--requests", "4", "--warm-up", "0"),
        )
    assert code == 0
    (opinion,) = report["perf_analyzer"]
    # Two in flight for 1.25 ms each; it counts whole seconds itself.
    assert (opinion["throughput"], opinion["reported_throughput"]) == (1600.0, 150.5)
    assert opinion["quantiles"] == {"p50": 1.0, "p95": 1.2, "p99": 1.5}
    assert opinion["p50_ratio"] == round(report["runs"][0]["latency"]["quantiles"]["p50"], 3)


def test_perf_analyzer_takes_no_options(texts, capsys, analyzer):
    analyzer(WRITE_CSV)
    with ServerThread() as server:
        code, _, notes = bench(
            capsys,
            *("--url", server.endpoint.url, "--kind", "text", "--texts", str(texts), "--perf-analyzer"),
            *("--concurrency", "1", "--requests", "1", "--warm-up", "0", "--rows", "2"),
        )
    assert code == 1
    assert "one query in a request" in notes


def test_a_protocol_without_an_address_is_told(capsys):
    code, _, notes = bench(capsys, "--url", "http://127.0.0.1:9", "--protocol", "grpc")
    assert code == 1
    assert "the server's address for GRPC is not known" in notes


def test_both_protocols_and_the_processes_are_found_in_the_state_directory(tmp_path, texts, capsys):
    with ServerThread() as server:
        address = server.endpoint.address
        endpoints = {"http": address, "grpc": "127.0.0.1:9", "pid": os.getpid()}
        (tmp_path / "endpoints.json").write_text(json.dumps(endpoints))
        code, report, _ = bench(
            capsys,
            *("--state-dir", str(tmp_path), "--protocol", "http", "--kind", "text", "--texts", str(texts)),
            *("--concurrency", "1", "--requests", "2", "--warm-up", "0"),
        )
    assert code == 0
    assert report["runs"][0]["server_memory_mb"] > 1
    assert report["runs"][0]["server_cpu_ms_per_request"] is not None


def test_a_damaged_endpoints_file_is_named(tmp_path, capsys):
    (tmp_path / "endpoints.json").write_text("{")
    code, _, notes = bench(capsys, "--url", "http://127.0.0.1:9", "--state-dir", str(tmp_path))
    assert code == 1
    assert "endpoints.json cannot be read" in notes


def test_a_file_of_texts_that_is_not_there_is_named(capsys):
    code, _, notes = bench(capsys, "--url", "http://127.0.0.1:9", "--kind", "text", "--texts", "nowhere.txt")
    assert code == 1
    assert "nowhere.txt cannot be read" in notes


@pytest.mark.parametrize("arguments", [("--kind", "sound"), ("--protocol", "carrier-pigeon"), ("--rate", "0")])
def test_wrong_use_is_exit_code_2(arguments, capsys):
    assert main([*arguments]) == 2


def test_inputs_are_written_with_their_length_as_perf_analyzer_reads_them(tmp_path):
    perf_analyzer.write_inputs(tmp_path / "inputs.json", [{"image_bytes": [b"photo"], "query_text": [b"red"]}])
    (entry,) = json.loads((tmp_path / "inputs.json").read_text())["data"]
    assert entry["image_bytes"]["shape"] == [1]
    assert base64.b64decode(entry["image_bytes"]["content"]["b64"]) == struct.pack("<I", 5) + b"photo"
    assert base64.b64decode(entry["query_text"]["content"]["b64"]) == struct.pack("<I", 3) + b"red"


def analyse(timeout_s=30.0):
    endpoint = parse_endpoint("http://127.0.0.1:9")
    return perf_analyzer.analyse("m", endpoint, [{"query_text": [b"red"]}], concurrency=2, timeout_s=timeout_s)


def test_a_missing_perf_analyzer_says_where_it_comes_from(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"pip install tritonclient==2\.51\.0"):
        analyse()


def test_a_perf_analyzer_without_its_libraries_says_what_to_install(analyzer):
    analyzer("echo 'perf_analyzer: error while loading shared libraries: libb64.so.0d' >&2; exit 127")
    with pytest.raises(ConfigError, match="apt-get install libb64-0d"):
        analyse()


def test_a_perf_analyzer_that_fails_is_quoted(analyzer):
    analyzer("echo 'failed to connect' >&2; exit 3")
    with pytest.raises(UnavailableError, match="ended with 3: failed to connect"):
        analyse()


def test_a_perf_analyzer_that_hangs_is_ended(analyzer):
    analyzer("exec sleep 60")
    with pytest.raises(UnavailableError, match="did not end within"):
        analyse(timeout_s=0.2)


@pytest.mark.parametrize("text", ["", HEADER, "a,b\n1,2\n", CSV.replace("1250", "0")])
def test_a_report_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigError, match="report cannot be read"):
        perf_analyzer.read_report(text)


def result(throughput, **arguments):
    return RunResult(
        **{
            "kind": "text",
            "protocol": "http",
            "load": "",
            "repeated": False,
            "rows": 1,
            "concurrency": 1,
            "rate": None,
            "seconds": 1.0,
            "requests": 1,
            "errors": 0,
            "throughput": throughput,
            "latency": summarise([0.001, 0.002]),
            "sent_bytes_per_request": 1.0,
            "received_bytes_per_request": 1.0,
            "server_cpu_ms_per_request": None,
            "server_cpu_ms_by_process": {},
            "server_memory_mb": None,
            "load_cpu_ms_per_request": 0.1,
            "stages": {},
            **arguments,
        }
    )


def test_lines_of_a_plot_are_by_kind_wire_and_loop_in_ascending_rate():
    results = [
        result(20.0),
        result(10.0),
        result(5.0, rate=5.0, concurrency=None),
        result(30.0, repeated=True),
        result(0.0, latency=summarise([])),
    ]
    lines = series(results)
    assert {name: [rate for rate, _ in points] for name, points in lines.items()} == {
        "text, http, closed loop": [10.0, 20.0],
        "text, http, open loop": [5.0],
        "text, http, closed loop, repeated": [30.0],
    }


def test_plotting_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ConfigError, match=r"product-match\[bench\]"):
        plot_latency([result(1.0)], tmp_path, "title")
