"""`product-match events` against a server in memory, over a real socket."""

from __future__ import annotations

import json
import sys

import pytest

from product_match_client.cli.command import main
from tests.fakes.product_server import product_server
from tests.fakes.terminals import Terminal

ANSWER = {
    "id": "1",
    "at": "2026-11-27T07:02:37.784000+00:00",
    "type": "answer",
    "kind": "words",
    "outcome": "matched",
    "words": "red jacket",
    "results": [{"id": "1001", "score": 0.9, "confidence": 0.97}],
    "person": "customer-7",
}
ERROR = {
    "id": "2",
    "at": "2026-11-27T07:02:39.784000+00:00",
    "type": "error",
    "model": "text_preprocess",
    "code": "INVALID_ARG",
    "message": "top_k: expected",
}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")  # no colours
    with product_server() as (server, url):
        monkeypatch.setenv("PRODUCT_MATCH_URL", url)
        server.kept["events"] += [ANSWER, ERROR]
        server.kept["feedback"] += [{"id": "3", "at": "2026", "event": "click", "product_id": "7"}]
        yield server


def test_events_are_listed_page_after_page(server, capsys):
    assert main(["events", "list"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [ANSWER, ERROR]
    assert main(["events", "list", "--limit", "1", "--days", "1"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [ANSWER]


def test_a_person_reads_a_table(server, monkeypatch):
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert main(["events", "list"]) == 0
    lines = [line.split() for line in terminal.getvalue().splitlines()]
    assert lines[0] == ["at", "kind", "outcome", "words", "first", "sure"]
    assert lines[2] == ["2026-11-27", "07:02:37", "words", "matched", "red", "jacket", "1001", "97%"]
    assert lines[3] == ["2026-11-27", "07:02:39", "text_preprocess", "INVALID_ARG", "top_k:", "expected"]


def test_a_person_is_forgotten(server, capsys, monkeypatch):
    assert main(["events", "forget", "--person", "customer-7"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": {"events": 1, "feedback": 0}}
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert main(["events", "forget", "--person", "customer-7"]) == 0
    assert terminal.getvalue() == "0 of events, 0 of feedback removed\n"
    assert server.kept["events"] == [ERROR]
