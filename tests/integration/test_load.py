"""`python -m benchmarks.load` on the live server: each loop for a moment, counts only."""

from __future__ import annotations

import json

import pytest

from benchmarks.load.__main__ import main
from tests.integration.conftest import SAMPLE

pytestmark = pytest.mark.triton


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_both_loops_are_answered_without_an_error_and_without_the_cache(server, protocol, tmp_path, capsys):
    texts = tmp_path / "texts.txt"
    lines = (SAMPLE / "products.jsonl").read_text(encoding="utf-8").splitlines()
    texts.write_text("\n".join(json.loads(line)["name"] for line in lines))
    endpoints = {"http": server.http, "grpc": server.grpc, "pid": server.process.pid}
    (tmp_path / "endpoints.json").write_text(json.dumps(endpoints))
    code = main(
        [
            *("--state-dir", str(tmp_path), "--protocol", protocol, "--photos", str(SAMPLE / "queries")),
            *("--texts", str(texts), "--concurrency", "3", "--rate", "20", "--seconds", "2", "--requests", "20"),
        ]
    )
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [run["kind"] for run in report["runs"]] == ["image", "image", "text", "text", "both", "both"]
    for run in report["runs"]:
        assert run["errors"] == 0
        assert 0 < run["requests"] <= 20
        assert run["received_bytes_per_request"] > 500
        assert run["server_memory_mb"] > 100
        # Triton counts a request after it has answered, so the last of the warm-up may be counted with the run.
        assert abs(run["stages"]["retrieval"]["requests"] - run["requests"]) <= 4
        # Short words may come again in another call; photos never do.
        assert run["stages"].get("image_encoder", {"cache_hits": 0})["cache_hits"] == 0
