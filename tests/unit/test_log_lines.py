"""Every line of a log is one JSON object, whoever said it, with no words, no photo and no password in it."""

from __future__ import annotations

import io
import json
import logging
import os
import sys

import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError, UnavailableError
from product_match.contract.models import ModelSpec, Role
from product_match.contract.tensors import Dtype, TensorSpec
from product_match.host.log_pump import LogPump
from product_match.host.logs import describe
from product_match.host.processes import ChildProcess
from product_match.settings import LOG_LEVELS, Secret, ServingSettings
from product_match.telemetry import log_lines
from product_match.telemetry.log_lines import JsonFormatter, answering, json_line
from product_match.triton import logs as triton_logs
from product_match.triton.batches import BatchServer
from product_match.triton.logs import MOST_A_SECOND, RequestLog, forward_logs, log_json_lines
from product_match_client.cli.commands import serve
from tests.fakes import pb_utils
from tests.fakes.pb_utils import InferenceRequest

WORDS = TensorSpec(name="query_text", dtype=Dtype.BYTES, dims=(1,), meaning="Words.")
SPEC = ModelSpec(name="retrieval", role=Role.PYTHON, inputs=(WORDS,), outputs=(WORDS,), meaning="Returns them.")


@pytest.fixture
def said(monkeypatch):
    """What a model's process gives Triton's log, as JSON."""
    monkeypatch.setattr(pb_utils.Logger, "records", [])
    for name in ("product_match", "product_match.requests", "opentelemetry"):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "level", logger.level)
        logger.manager._clear_cache()
    forward_logs(pb_utils)
    yield lambda: [json.loads(text) for _, text in pb_utils.Logger.records]
    logging.getLogger("product_match").manager._clear_cache()


def record(message="loaded", level=logging.INFO, **extra):
    return logging.makeLogRecord({"name": "product_match.x", "levelno": level, "msg": message, **extra})


def test_a_record_becomes_one_line_with_time_level_and_source():
    line = json.loads(JsonFormatter(model="retrieval").format(record("loaded", logging.WARNING, created=1.5)))
    assert line == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "warning",
        "source": "product_match.x",
        "process": os.getpid(),
        "model": "retrieval",
        "message": "loaded",
    }


@pytest.mark.parametrize(
    ("number", "level"), [(5, "debug"), (10, "debug"), (20, "info"), (30, "warning"), (40, "error"), (50, "error")]
)
def test_every_level_has_a_name_of_the_settings(number, level):
    assert json.loads(JsonFormatter().format(record(level=number)))["level"] == level
    assert level in LOG_LEVELS
    assert LOG_LEVELS == serve.LOG_LEVELS == log_lines._LEVELS


def test_a_trace_stays_in_its_line():
    try:
        raise ValueError("broken")
    except ValueError:
        text = JsonFormatter().format(record(exc_info=sys.exc_info()))
    assert "\n" not in text
    assert json.loads(text)["trace"].endswith("ValueError: broken")


def test_a_line_names_the_requests_that_are_being_answered():
    with answering(["shop-7", "", "shop-8"]):
        assert json.loads(JsonFormatter().format(record()))["requests"] == ["shop-7", "shop-8"]
    assert "requests" not in json.loads(JsonFormatter().format(record()))


def test_passwords_are_replaced_and_endless_messages_cut():
    uri = "mongodb://shop:hunter2@store:27017 is away"
    assert json.loads(JsonFormatter().format(record(uri)))["message"] == "mongodb://shop:********@store:27017 is away"
    assert json.loads(json_line(uri))["message"] == "mongodb://shop:********@store:27017 is away"
    assert len(json.loads(json_line("x" * 100_000))["message"]) == log_lines.MOST_CHARACTERS + 3


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '2026-11-27T07:18:39Z W 2997 server.cc:241] "a \\"quoted\\" word"\n',
            {
                "time": "2026-11-27T07:18:39Z",
                "level": "warning",
                "source": "server.cc:241",
                "process": 2997,
                "message": 'a "quoted" word',
            },
        ),
        (
            "2026-11-27T07:18:39Z E 1 model.cc:7] as it is",
            {"level": "error", "source": "model.cc:7", "message": "as it is"},
        ),
        ('2026-11-27T07:18:39Z I 1 model.cc:7] "half', {"level": "info", "message": '"half'}),
        ("| a table |", {"level": "info", "source": "", "message": "| a table |"}),
        ('{"time": broken', {"level": "info", "message": '{"time": broken'}),
    ],
)
def test_what_triton_says_becomes_the_same_form(line, expected):
    found = json.loads(json_line(line))
    assert {"time", "level", "source", "message"} <= found.keys()
    assert expected.items() <= found.items()


def test_a_models_own_line_inside_one_of_tritons_is_taken_out():
    own = JsonFormatter(model="retrieval").format(record('says "so"'))
    assert json_line(f"2026-11-27T07:18:39Z I 2997 python.cc:9] {json.dumps(own)}\n") == own
    assert json_line(own + "\n") == own


def batch(handler, *names, words=b"red shoes of Ann"):
    import numpy as np

    column = np.empty((1, 1), object)
    column[0, 0] = words
    requests = [InferenceRequest({"query_text": column}, request_id=name) for name in names]
    BatchServer(pb_utils, SPEC, handler, options=None).execute(requests)


def test_a_request_that_fails_is_a_line_without_what_it_held(said):
    log_json_lines("retrieval", "info")

    def fail(requests):
        return [
            InvalidRequestError(f"text: {requests[0].tensors['query_text'][0, 0]} is not understood"),
            UnavailableError("the store is away"),
        ]

    batch(fail, "shop-7", "shop-8")
    bad, away = said()
    assert (bad["request"], bad["code"], bad["message"]) == (
        "shop-7",
        "INVALID_ARG",
        "failed: the request has to be changed",
    )
    assert (away["request"], away["code"], away["message"]) == ("shop-8", "UNAVAILABLE", "failed: the store is away")
    assert bad["model"] == away["model"] == "retrieval"
    assert "Ann" not in json.dumps(said())


def test_an_unforeseen_failure_has_its_trace_and_its_requests(said):
    log_json_lines("retrieval", "info")

    def fail(requests):
        raise RuntimeError("nobody foresaw this")

    batch(fail, "shop-7")
    trace = next(line for line in said() if "trace" in line)
    assert (trace["level"], trace["requests"]) == ("error", ["shop-7"])
    assert "nobody foresaw this" in trace["trace"]
    assert [line["code"] for line in said() if "code" in line] == ["INTERNAL"]


def test_answers_are_lines_at_the_level_of_debugging_only(said):
    def good(requests):
        return [dict(one.tensors) for one in requests]

    log_json_lines("retrieval", "info")
    batch(good, "shop-7")
    assert said() == []
    log_json_lines("retrieval", "debug")
    batch(good, "shop-7")
    (line,) = said()
    assert (line["message"], line["request"], line["level"]) == ("answered", "shop-7", "debug")
    assert line["milliseconds"] > 0
    assert "Ann" not in json.dumps(line)


def test_where_no_json_lines_are_wanted_requests_are_not_logged(said):
    RequestLog().failed("shop-7", UnavailableError("away"))
    assert pb_utils.Logger.records == []


def test_failures_without_end_are_so_many_lines_a_second(said, monkeypatch):
    log_json_lines("retrieval", "info")
    moment = 100.0
    monkeypatch.setattr(triton_logs.time, "monotonic", lambda: moment)
    log = RequestLog()
    for _ in range(MOST_A_SECOND + 30):
        log.failed("shop-7", UnavailableError("busy"))
    assert len(said()) == MOST_A_SECOND
    moment = 101.0
    log.failed("shop-8", UnavailableError("busy"))
    assert [line["message"] for line in said()[MOST_A_SECOND:]] == ["30 more requests failed", "failed: busy"]


def test_a_level_that_there_is_not_is_refused(tmp_path):
    fields = {"index_directory": tmp_path, "owner_socket": tmp_path / "socket", "mongodb_uri": Secret("mongodb://x")}
    with pytest.raises(ConfigError, match="LOG_LEVEL must be one of debug, info, warning, error, got `loud`"):
        ServingSettings(encoder_directory=tmp_path, log_level="loud", **fields)


def test_a_childs_log_is_written_in_its_form_to_the_last_line(tmp_path):
    script = "import sys; print('2026-11-27T07:18:39Z E 1 x.cc:1] broken'); sys.stderr.write('half'); sys.exit(3)"
    child = ChildProcess(
        name="the child",
        command=[sys.executable, "-c", script],
        environment=dict(os.environ),
        log_file=tmp_path / "child.log",
        log_form=json_line,
    )
    child.start()
    while child.running:
        pass
    ended = child.describe_end()
    assert "its errors:\n  2026-11-27T07:18:39Z E 1 x.cc:1] broken" in ended
    lines = [json.loads(line) for line in (tmp_path / "child.log").read_text().splitlines()]
    assert {line["message"] for line in lines} == {"broken", "half"}
    child.stop(0.0)


def test_lines_of_json_are_quoted_as_triton_would_have_written_them(tmp_path):
    log = tmp_path / "x.log"
    log.write_text('{"time": "T", "level": "info", "source": "", "message": "plain"}\n{"level": 1}\n[]\n')
    assert describe(log).splitlines()[1:] == ["  plain", '  {"level": 1}', "  []"]


def test_a_log_that_cannot_be_written_holds_nobody_up(tmp_path):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError("no room")

    reading, writing = os.pipe()
    pump = LogPump(os.fdopen(reading, "rb"), Full(), json_line)
    with os.fdopen(writing, "wb") as pipe:
        for _ in range(20_000):
            pipe.write(b"a line\n")
    pump.finish()
    assert not pump._thread.is_alive()
