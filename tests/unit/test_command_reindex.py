"""`reindex` and `rollback` against a server in memory: what is asked, what is shown, and how each ends."""

from __future__ import annotations

import hashlib
import json
import stat
import sys

import pytest

from product_match_client.cli import encoder_changes as encoder_change
from product_match_client.cli.command import main
from product_match_client.cli.commands import reindex
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


def checkpoint(path, weights):
    """A folder in Hugging Face format, of so many bytes of weights as its only tensor has."""
    path.mkdir(parents=True)
    for file in ("config.json", "preprocessor_config.json"):
        (path / file).write_text("{}")
    header = json.dumps({"a": {"dtype": "U8", "shape": [len(weights)], "data_offsets": [0, len(weights)]}}).encode()
    (path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + weights)
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture
def builder(tmp_path, monkeypatch):
    """An environment that is not activated: what builds lies beside Python, and not on PATH."""
    place = tmp_path / "environment" / "ensemble-builder"
    place.parent.mkdir()
    place.write_text(
        "#!/bin/sh\n"
        'echo "$@" >> asked\n'
        "for last; do :; done\n"
        '/bin/mkdir -p "$last" && echo "{}" > "$last/encoder.json"\n'
        'weights=$(/usr/bin/sha256sum "$3/model.safetensors" | /usr/bin/cut -c-64)\n'
        """printf '{"checkpoint": {"weights_sha256": "%s"}}' "$weights" > "$last/build.json"\n"""
    )
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(reindex.sys, "executable", str(place.parent / "python"))
    monkeypatch.setenv("PATH", "")
    return place


def test_a_checkpoint_is_built_first_and_only_once(server, tmp_path, capsys, builder):
    checkpoint(tmp_path / "runs" / "clip", b"12")
    server.change = [DONE, DONE, DONE]
    assert main(["reindex", "--checkpoint", "runs/clip"]) == 0
    words = "build --checkpoint runs/clip --target embedded --out encoders/clip-embedded"
    assert (tmp_path / "asked").read_text() == words + "\n"
    assert server.asked == [str(tmp_path / "encoders" / "clip-embedded")]
    assert f"building encoders/clip-embedded with ensemble-builder {words}" in capsys.readouterr().err
    assert main(["reindex", "--checkpoint", "runs/clip"]) == 0
    assert "taking encoders/clip-embedded, which was built from these weights before" in capsys.readouterr().err
    assert (tmp_path / "asked").read_text() == words + "\n"
    builder.write_text("#!/bin/sh\nexit 3\n")
    assert main(["reindex", "--checkpoint", "runs/clip", "--out", "mine"]) == 1
    assert "the encoder was not built (exit code 3); see what ensemble-builder says" in capsys.readouterr().err


def test_a_checkpoint_that_is_called_like_another_is_built_beside_it(server, tmp_path, capsys, builder):
    checkpoint(tmp_path / "runs" / "a" / "final", b"1")
    digest = checkpoint(tmp_path / "runs" / "b" / "final", b"2")
    server.change = [DONE, DONE, DONE]
    for name in ("a", "b", "b"):
        assert main(["reindex", "--checkpoint", f"runs/{name}/final"]) == 0
    first = str(tmp_path / "encoders" / "final-embedded")
    assert server.asked == [first, f"{first}-{digest[:12]}", f"{first}-{digest[:12]}"]
    assert len((tmp_path / "asked").read_text().splitlines()) == 2
    assert (
        f"taking encoders/final-embedded-{digest[:12]}, which was built from these weights" in capsys.readouterr().err
    )
    assert main(["reindex", "--checkpoint", "runs/b/final", "--out", "encoders/final-embedded"]) == 1
    words = "encoders/final-embedded holds an encoder that was built from other weights than those of runs/b/final"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("report", ["", "{", "{}", "[]"])
def test_an_encoder_whose_report_does_not_say_what_it_was_built_from_is_not_taken(
    server, tmp_path, capsys, builder, report
):
    checkpoint(tmp_path / "runs" / "final", b"1")
    held = tmp_path / "encoders" / "final-embedded"
    held.mkdir(parents=True)
    (held / "encoder.json").write_text("{}")
    (held / "build.json").write_text(report)
    server.change = [DONE]
    assert main(["reindex", "--checkpoint", "runs/final"]) == 0
    assert server.asked[0].startswith(f"{held}-")


def test_a_folder_that_is_no_checkpoint_is_told_before_anything_is_taken(server, tmp_path, capsys, builder):
    (tmp_path / "encoders" / "nothing-embedded").mkdir(parents=True)
    (tmp_path / "encoders" / "nothing-embedded" / "encoder.json").write_text("{}")
    (tmp_path / "nothing").mkdir()
    assert main(["reindex", "--checkpoint", "nothing"]) == 1
    assert "checkpoint nothing: config.json cannot be read" in capsys.readouterr().err


def test_without_the_builder_an_encoder_directory_is_asked_for(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reindex.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "")
    assert main(["reindex", "--checkpoint", "nothing"]) == 1
    words = (
        "nothing is no encoder directory (it has no encoder.json), and ensemble-builder, which would make one of it"
    )
    assert words in capsys.readouterr().err
    checkpoint(tmp_path / "clip", b"1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "encoder.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "ensemble_builder.checkpoint", None)
    assert main(["reindex", "--checkpoint", "clip", "--out", "mine"]) == 1
    assert 'is not installed; `pip install "product-match[export]"`' in capsys.readouterr().err


def test_a_checkpoint_has_to_be_given(capsys):
    assert main(["reindex"]) == 2
    assert "--checkpoint" in capsys.readouterr().err
