"""What is asked about life and readiness, and what is answered, on a clock of the test's own."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request

import pytest

from product_match.contract.errors import StackError
from product_match.host.health import HealthServer


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    with HealthServer("127.0.0.1", 0, clock) as server:
        yield server


def ask(health, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health.port}{path}", timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_what_has_only_begun_lives_and_is_not_ready(health):
    assert ask(health, "/live") == (200, {"live": True})
    assert ask(health, "/ready") == (503, {"ready": False, "reasons": ["starting"]})


def test_readiness_goes_and_comes_with_its_reasons_and_life_does_not(health):
    health.report([])
    assert ask(health, "/ready?verbose") == (200, {"ready": True})
    health.report(["document store is away for 12 s"])
    assert ask(health, "/ready") == (503, {"ready": False, "reasons": ["document store is away for 12 s"]})
    assert ask(health, "/live")[0] == 200


def test_who_stops_reporting_neither_lives_nor_is_ready(health, clock):
    health.report([])
    clock.now = 60.0
    assert ask(health, "/live")[0] == ask(health, "/ready")[0] == 200
    clock.now = 61.0
    reasons = ["what looks after Triton has not reported for 61 s"]
    assert ask(health, "/live") == (503, {"live": False, "reasons": reasons})
    assert ask(health, "/ready") == (503, {"ready": False, "reasons": reasons})


def test_other_questions_are_not_answered(health):
    assert ask(health, "/") == (404, {"error": "ask for /live or /ready"})


def test_a_port_that_is_taken_is_told():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StackError, match=r"for health cannot be used .*; give another with --health-port"),
    ):
        HealthServer("127.0.0.1", taken.getsockname()[1])
