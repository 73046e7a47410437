"""A large index is rebuilt by itself when many points lie outside of its graph, and not while it is changing."""

from __future__ import annotations

import threading

import pytest

from product_match.contract.errors import UnavailableError
from product_match.index import rebuild_schedule
from product_match.index.rebuild_schedule import RebuildSchedule


class Parts:
    def __init__(self):
        self.points, self.unindexed, self.quiet, self.started = 1000, 1000, 1e9, 0

    def quiet_s(self):
        return self.quiet

    def start(self):
        self.started += 1

    def count(self):
        return self.points

    def count_unindexed(self):
        return self.unindexed


@pytest.fixture
def parts():
    return Parts()


def made(parts, **options):
    return RebuildSchedule(parts.count, parts.count_unindexed, parts, parts, **{"threshold": 100, **options})


def test_an_index_without_a_graph_is_rebuilt_once_it_is_large(parts):
    parts.unindexed = parts.points = 99
    assert not made(parts).check()
    parts.unindexed = parts.points = 100
    assert made(parts).check()
    assert parts.started == 1


def test_a_graph_is_built_anew_when_a_fifth_lies_outside(parts):
    parts.unindexed = 199
    assert not made(parts).check()
    parts.unindexed = 200
    assert made(parts).check()


def test_an_index_that_is_changing_is_left_alone(parts):
    parts.quiet = rebuild_schedule.QUIET_S - 1
    assert not made(parts).check()


def test_a_rebuild_that_did_not_help_is_not_started_again_at_once(parts, monkeypatch):
    keeper = made(parts)
    assert keeper.check()
    assert not keeper.check()
    monkeypatch.setattr(rebuild_schedule, "RETRY_S", 0.0)
    assert keeper.check()


def test_the_thread_looks_again_and_again_and_an_error_does_not_end_it(parts, monkeypatch, caplog):
    monkeypatch.setattr(rebuild_schedule, "CHECK_S", 0.01)
    monkeypatch.setattr(rebuild_schedule, "RETRY_S", 0.0)
    looked = threading.Semaphore(0)

    def away():
        looked.release()
        raise UnavailableError("the index is closed")

    keeper = RebuildSchedule(parts.count, away, parts, parts, threshold=100)
    keeper.start()
    assert looked.acquire(timeout=30)
    assert looked.acquire(timeout=30)
    keeper.close()
    assert "could not be read: the index is closed" in caplog.text


def test_closing_before_starting_does_no_harm(parts):
    made(parts).close()
