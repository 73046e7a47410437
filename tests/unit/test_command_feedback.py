"""`product-match feedback` against a server in memory, over a real socket."""

from __future__ import annotations

import json
import stat
import sys

import pytest

from product_match_client.cli.command import main
from tests.fakes.product_server import product_server
from tests.fakes.terminals import Terminal


@pytest.fixture
def server(monkeypatch):
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
