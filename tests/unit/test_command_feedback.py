"""`product-match feedback` against a server in memory, over a real socket."""

from __future__ import annotations

import json
import stat
import sys

import pytest

from product_match.evaluation.judged_queries import read_judged_queries
from product_match_client.cli.command import main
from tests.fakes.product_server import product_server
from tests.fakes.terminals import Terminal


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")  # no colours
    with product_server() as (server, url):
        monkeypatch.setenv("PRODUCT_MATCH_URL", url)
        yield server


def test_what_a_person_thought_is_sent(server, capsys, monkeypatch):
    assert main(["feedback", "give", "token", "1042", "--rating", "9"]) == 0
    assert json.loads(capsys.readouterr().out) == {"status": "recorded", "message": "recorded"}
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert main(["feedback", "give", "token", "1042", "--event", "purchase"]) == 0
    assert terminal.getvalue() == "recorded\n"
    assert server.feedback == [("token", "1042", "9"), ("token", "1042", "purchase")]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["give", "t", "1"], 2, "one of the arguments --rating --event is required"),
        (["give", "t", "1", "--rating", "9", "--event", "click"], 2, "not allowed with argument --rating"),
        (["give", "t", "1", "--event", "liked"], 2, "invalid choice: 'liked'"),
        (
            ["give", "t", "1", "--rating", "11"],
            1,
            "product-match: feedback: expected a rating from 1 to 10, or one of",
        ),
        (["give", "", "1", "--rating", "1"], 1, "product-match: feedback: `token` is ''; give the `feedback_token`"),
        (["key", "gone/keys.json"], 1, "gone/keys.json cannot be read or written (No such file or directory)"),
        ([], 2, "the following arguments are required: WHAT"),
    ],
)
def test_what_cannot_be_done_is_told(server, capsys, words, code, message):
    assert main(["feedback", *words]) == code
    assert message in capsys.readouterr().err
    assert server.feedback == []


def test_keys_are_made_and_changed(tmp_path, capsys):
    path = tmp_path / "keys.json"
    assert main(["feedback", "key", str(path), "--id", "a"]) == 0
    assert main(["feedback", "key", str(path), "--id", "b", "--algorithm", "EdDSA", "--keep", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: a signs; believed are a",
        f"{path}: b signs; believed are b, a",
    ]
    assert [key["alg"] for key in json.loads(path.read_text())["keys"]] == ["EdDSA", "HS256"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_keys_cannot_be_made_the_command_says_what_it_lacks(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "product_match.feedback.keys", None)
    assert main(["feedback", "key", str(tmp_path / "keys.json")]) == 1
    assert "install it with `pip install 'product-match[serving]'`" in capsys.readouterr().err


@pytest.fixture
def told(server):
    """Two searches for shoes and one for a sofa; one shoe was bought, the sofa was wrong."""
    answer = {
        "at": "2026-11-27T07:02:37+00:00",
        "type": "answer",
        "kind": "words",
        "encoder": "demo@1",
        "options": {},
    }
    held = [{"id": id_, "score": 1.0, "confidence": 0.9} for id_ in ("1001", "1002")]
    for name, words, outcome in (("1", "red shoe", "matched"), ("2", "red shoe", "matched"), ("3", "sofa", "weak")):
        server.kept["events"].append({"id": name, **answer, "words": words, "outcome": outcome, "results": held})
    server.kept["events"].append({"id": "4", "type": "error", "model": "text_preprocess", "code": "INVALID_ARG"})
    facts = {"kind": "words", "outcome": "matched", "encoder": "demo@1", "rank": 1, "product_id": "1001"}
    server.kept["feedback"] += [
        {"id": "5", "answer": "1", "event": "purchase", **facts},
        {"id": "6", "answer": "3", "event": "wrong", **facts},
        {"id": "7", "answer": "3", "event": "rating", "rating": 2, **facts},
    ]
    return server


def test_the_report_is_json_in_a_pipe_and_tables_for_a_person(told, capsys, monkeypatch, tmp_path):
    assert main(["feedback", "report", "--plot", str(tmp_path / "plot.png")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["answers"], found["answers_with_feedback"], found["days"]) == (3, 2, 30.0)
    assert found["by"]["rank"]["1"]["click_rate"] == 0.3333
    assert (tmp_path / "plot.png").stat().st_size > 1000
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert main(["feedback", "report", "--top", "5"]) == 0
    lines = terminal.getvalue().splitlines()
    assert lines[:2] == [
        "3 answers in 30 days, 2 with feedback, 0.0% without a match",
        "the shop has not told what it showed: every match of an answer counts",
    ]
    words = [line.split() for line in lines]
    assert ["1", "3", "0.333", "0.061", "to", "0.792", "0", "1", "1", "1", "2.000"] in words
    assert ["sofa", "1", "1", "1", "2.000", "weak"] in words
    assert ["text_preprocess", "INVALID_ARG", "1"] in words


def test_the_export_is_what_evaluate_reads(told, capsys, tmp_path):
    assert main(["feedback", "export", "--output", str(tmp_path / "judged.jsonl")]) == 0
    assert capsys.readouterr().err == "1 judged queries; left out: 1 (nothing accepted)\n"
    (query,) = read_judged_queries((tmp_path / "judged.jsonl").read_text().splitlines(), "judged.jsonl")
    assert (query.text, query.accept) == ("red shoe", {"1001": 3})
    assert main(["feedback", "export"]) == 0
    assert json.loads(capsys.readouterr().out)["accept"] == {"1001": 3}
    assert main(["feedback", "export", "--output", str(tmp_path / "gone" / "judged.jsonl")]) == 1
    assert "cannot be written (No such file or directory); give another --output" in capsys.readouterr().err
    assert main(["feedback", "report", "--plot", "plot.txt"]) == 1
    assert "a plot is .png, .svg, .pdf, got `.txt`" in capsys.readouterr().err
