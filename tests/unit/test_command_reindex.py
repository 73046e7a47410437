"""`reindex` and `rollback` against a server in memory: what is asked, what is shown, and how each ends."""

from __future__ import annotations

import json
import os
import stat

import pytest

from product_match_client.cli import encoder_changes as encoder_change
from product_match_client.cli.command import main
from tests.fakes.product_server import product_server

RUNNING = {"id": "1", "state": "running", "encoder": "b@2", "stage": "embedding", "done": 1, "total": 3}
DONE = {
    "id": "1",
    "state": "done",
    "encoder": "b@2",
    "from": "a@1",
    "products": 3,
    "embedded": 3,
    "reused": 0,
    "seconds": 2.5,
    "held_s": 0.3,
    "pid": 7,
    "stage": "",
}
SHOWN = {"encoder": "b@2", "from": "a@1", "products": 3, "embedded": 3, "reused": 0, "seconds": 2.5, "held_s": 0.3}


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(encoder_change, "POLL_S", 0)
    with product_server() as (server, url):
        monkeypatch.setenv("PRODUCT_MATCH_URL", url)
        yield server


@pytest.fixture
def encoder(tmp_path):
    directory = tmp_path / "clip"
    directory.mkdir()
    (directory / "encoder.json").write_text("{}")
    return directory


def test_a_change_is_followed_to_its_end(server, encoder, capsys):
    requested = {"id": "1", "state": "requested", "encoder": "b@2"}
    server.change = [requested, RUNNING, None, {**RUNNING, "stage": "switching", "done": 3}, DONE]
    assert main(["reindex", "--checkpoint", "clip"]) == 0
    assert server.asked == [str(encoder)]
    out, err = capsys.readouterr()
    assert json.loads(out) == SHOWN
    assert "reindex: embedding\nreindex: switching\n" in err
    assert "3/3" in err


def test_a_rollback_is_followed_alike_and_json_is_asked_for(server, capsys):
    server.change = [RUNNING, DONE]
    assert main(["rollback", "--json"]) == 0
    assert server.asked == ["before"]
    assert json.loads(capsys.readouterr().out) == SHOWN


def test_a_change_that_failed_is_told_with_its_reason(server, capsys):
    server.change = [RUNNING, {**RUNNING, "state": "failed", "message": "a photo is not kept any more"}]
    assert main(["rollback"]) == 1
    assert "the encoder was not changed: a photo is not kept any more" in capsys.readouterr().err


def test_another_change_in_its_place_is_told(server, capsys):
    server.change = [RUNNING, {**RUNNING, "id": "2", "encoder": "c@3"}]
    assert main(["rollback"]) == 1
    assert "another change of encoder has begun meanwhile (c@3); `product-match status`" in capsys.readouterr().err


def test_a_server_that_stays_away_is_told(server, capsys, monkeypatch):
    monkeypatch.setattr(encoder_change, "AWAY_S", 0)
    server.change = [RUNNING, None]
    assert main(["rollback"]) == 1
    error = capsys.readouterr().err
    assert "the server is away (" in error
    assert "once it is back, run the same command again to go on" in error


def test_a_checkpoint_is_built_first_and_only_once(server, tmp_path, capsys, monkeypatch):
    builder = tmp_path / "ensemble-builder"
    builder.write_text(
        '#!/bin/sh\necho "$@" > asked\nfor last; do :; done\nmkdir -p "$last" && echo "{}" > "$last/encoder.json"\n'
    )
    builder.chmod(builder.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    server.change = [DONE, DONE, DONE]
    assert main(["reindex", "--checkpoint", "openai/clip"]) == 0
    words = "build --checkpoint openai/clip --target embedded --out encoders/clip-embedded"
    assert (tmp_path / "asked").read_text() == words + "\n"
    assert server.asked == [str(tmp_path / "encoders" / "clip-embedded")]
    assert f"building encoders/clip-embedded with {words}" in capsys.readouterr().err
    assert main(["reindex", "--checkpoint", "openai/clip"]) == 0
    assert "taking encoders/clip-embedded, which was built before" in capsys.readouterr().err
    builder.write_text("#!/bin/sh\nexit 3\n")
    assert main(["reindex", "--checkpoint", "other/clip", "--out", "mine"]) == 1
    assert "the encoder was not built (exit code 3); see what ensemble-builder says" in capsys.readouterr().err


def test_without_the_builder_an_encoder_directory_is_asked_for(server, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert main(["reindex", "--checkpoint", "nothing"]) == 1
    error = capsys.readouterr().err
    assert "nothing is no encoder directory (it has no encoder.json), and ensemble-builder" in error
    assert 'is not installed; `pip install "product-match[export]"`' in error


def test_a_checkpoint_has_to_be_given(capsys):
    assert main(["reindex"]) == 2
    assert "--checkpoint" in capsys.readouterr().err
