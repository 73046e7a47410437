"""`serve` and `demo` with a stand-in for the local stack; tests/faults and tests/integration start the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from product_match.contract.errors import ConfigError, StackError
from product_match.encoder_change.generations import Generation, Generations, write_generations
from product_match.repository.shipped import ENCODER
from product_match.settings import WordsKept
from product_match.stack import local
from product_match_client.cli.command import main
from product_match_client.cli.samples import SampleQuery, sample_queries
from tests.fakes.product_server import product_server

PROJECT = Path(__file__).parents[2]


class Stack:
    """Answers where a server in memory listens."""

    address = ""
    made: list[local.StackSettings] = []  # noqa: RUF012  reset by the fixture

    def __init__(self, settings, progress):
        self.settings, self.progress = settings, progress
        self.made.append(settings)

    def __enter__(self):
        self.progress("starting")
        self.endpoints = SimpleNamespace(
            http=self.address,
            grpc="127.0.0.1:2",
            metrics="127.0.0.1:3",
            mongodb="mongodb://127.0.0.1:4",
            encoder="fake@1",
        )
        return self

    def __exit__(self, *reason):
        self.progress("stopping")

    def wait(self):
        self.progress("waiting")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(local, "LocalStack", Stack)
    monkeypatch.chdir(PROJECT)
    Stack.made.clear()
    with product_server() as (server, url):
        monkeypatch.setattr(Stack, "address", url)
        yield server


def test_the_demo_loads_the_sample_and_shows_three_answers(server, capsys, tmp_path):
    assert main(["demo", "--state-dir", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert [query["model"] for query in server.queries] == [
        "product_match_image",
        "product_match_text",
        "product_match",
    ]
    assert len(server.entries) == len((PROJECT / "sample_data/products.jsonl").read_text().splitlines())
    assert captured.out.count("rank  score") == 3
    assert captured.out.count("curl ") == 3
    assert captured.err.splitlines()[0] == "starting"
    assert captured.err.endswith("stopping\n")
    assert all(server.waited)


def test_a_demo_whose_sample_does_not_load_fails(server, capsys):
    server.refuse["1001"] = (400, "image: not a photo")
    assert main(["demo"]) == 1
    assert "1 rejected" in capsys.readouterr().err


def test_serve_prints_its_endpoints_and_stays(server, capsys, tmp_path):
    words = ["--state-dir", str(tmp_path), "--http-port", "0", "--encoder-threads", "2"]
    assert main(["serve", *words]) == 0
    captured = capsys.readouterr()
    lines = dict(line.split(maxsplit=1) for line in captured.out.splitlines())
    assert (lines["http"], lines["grpc"], lines["encoder"]) == (Stack.address, "127.0.0.1:2", "fake@1")
    assert lines["state"] == str(tmp_path)
    assert captured.err == "starting\nserving; Ctrl-C stops\nwaiting\nstopping\n"
    (settings,) = Stack.made
    assert (settings.http_port, settings.grpc_port, settings.encoder_threads) == (0, 8001, 2)
    assert server.entries == {}


def test_serve_loads_the_sample_when_asked_to(server, capsys):
    assert main(["serve", "--sample"]) == 0
    assert len(server.entries) > 100
    assert "created" in capsys.readouterr().err


def test_a_stack_that_does_not_start_is_one_line(server, monkeypatch, capsys):
    def fail(self):
        raise StackError("port 8000 is taken; give another --http-port")

    monkeypatch.setattr(Stack, "__enter__", fail)
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == "product-match: port 8000 is taken; give another --http-port\n"


def test_in_an_empty_folder_the_shipped_encoder_and_sample_are_taken(server, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", "--sample"]) == 0
    (settings,) = Stack.made
    assert (settings.encoder_directory, settings.encoder_is_default) == (PROJECT / ENCODER, True)
    assert settings.adapters == PROJECT / "model_repository"
    assert len(server.entries) > 100


def test_a_catalogue_keeps_its_own_encoder_while_that_is_there(server, monkeypatch, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    write_generations(tmp_path, Generations(current=Generation(encoder="own@1", directory=own)))
    assert main(["serve", "--state-dir", str(tmp_path)]) == 0
    own.rmdir()
    assert main(["serve", "--state-dir", str(tmp_path)]) == 0
    assert [settings.encoder_directory for settings in Stack.made] == [own, PROJECT / ENCODER]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], None),
        (["--event-log"], WordsKept.KEPT),
        (["--event-log", "hashed"], WordsKept.HASHED),
        (["--observe"], WordsKept.KEPT),
        (["--observe", "--event-log", "left_out"], WordsKept.LEFT_OUT),
    ],
)
def test_events_are_kept_where_they_are_asked_for(server, tmp_path, options, words):
    assert main(["serve", "--state-dir", str(tmp_path), *options, "--event-uri", "mongodb://elsewhere"]) == 0
    (settings,) = Stack.made
    assert (settings.event_words, settings.event_uri) == (words, "mongodb://elsewhere")


def test_an_encoder_that_is_given_is_taken(server):
    assert main(["serve", "--encoder", "of-my-own"]) == 0
    (settings,) = Stack.made
    assert (settings.encoder_directory, settings.encoder_is_default) == (Path("of-my-own"), False)


def test_a_client_without_the_server_code_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "product_match.stack.local", None)
    assert main(["serve"]) == 1
    error = capsys.readouterr().err
    assert "the local stack needs more than the client (" in error
    assert 'install it with `pip install "product-match[embedded]"`' in error


def test_the_samples_queries_are_one_of_each_kind():
    assert [query.kind for query in sample_queries(PROJECT / "sample_data")] == ["image", "text", "both"]


def test_a_composed_query_is_not_shown_as_words_alone(tmp_path):
    lines = [
        {"kind": "composed", "text": "in red", "like": ["1053"]},
        {"kind": "type", "text": "jacket"},
        {"kind": "photo", "image": "a.jpg"},
        {"kind": "photo_and_words", "image": "a.jpg", "text": "in red"},
    ]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [query.text for query in sample_queries(tmp_path)] == [None, "jacket", "in red"]


@pytest.mark.parametrize("text", [None, "not json", "[]", '{"id": "q1"}', '{"kind": "image"}'])
def test_a_folder_without_the_samples_queries_is_told(tmp_path, text):
    if text is not None:
        (tmp_path / "queries.jsonl").write_text(text)
    with pytest.raises(
        ConfigError,
        match=r"queries\.jsonl does not hold the sample's queries \(.*leave --sample-data out, or give a folder with",
    ):
        sample_queries(tmp_path)


def test_the_curl_line_of_photo_and_words_sends_what_the_client_sends(tmp_path):
    """Runs the line with `cat` for curl, in a shell: quotes, spaces and all."""
    photo = tmp_path / "a photo's name.jpg"
    photo.write_bytes(b"photo" * 100)
    line = SampleQuery(kind="both", image=photo, text='in "navy" or Zoë\'s').curl("h:1", 5)
    sent = subprocess.run(
        ["bash", "-c", line.replace("curl -d @- http://h:1/v2/models/product_match/generate", "cat")],
        capture_output=True,
        check=True,
    ).stdout
    body = json.loads(sent)
    assert (body["query_text"], body["top_k"]) == ('in "navy" or Zoë\'s', 5)
    assert body["image_bytes"].startswith("data:;base64,cGhvdG9")


def test_the_curl_lines_of_one_side_name_their_model():
    words = SampleQuery(kind="text", text="it's navy").curl("h:1", 5)
    assert (
        words
        == """curl -d '{"query_text": "it'"'"'s navy", "top_k": 5}' http://h:1/v2/models/product_match_text/generate"""
    )
    photo = SampleQuery(kind="image", image=Path("a b.jpg")).curl("h:1", 5)
    assert photo.startswith(
        "curl --data-binary @'a b.jpg' -H 'Inference-Header-Content-Length: 0' -H 'top_k: 5' http://h:1"
    )
