"""Events wait in memory, bounded, and never hold up who adds them; what the store does not take is in the log."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import replace

import pytest

from product_match.contract.errors import UnavailableError
from product_match.events.ids import event_id
from product_match.events.opening import open_writer
from product_match.events.store import EVENTS, open_events
from product_match.events.writer import AWAY_S, BATCH, SWEEP_S, Counts, EventWriter
from product_match.settings import Secret

NOWHERE = Secret("mongodb://127.0.0.1:1/?directConnection=true")


def event(moment=None, **fields):
    name = event_id(moment)
    return {"_id": name, "order": name, "type": "answer", **fields}


@pytest.fixture
def store(catalogue_settings):
    opened = open_events(catalogue_settings)
    yield opened
    opened.close()


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_what_is_added_is_stored_in_its_order(store):
    writer = EventWriter(store)
    for number in range(2 * BATCH + 3):
        writer.add(event(number=number))
    writer.step()
    first = store.page(EVENTS, "", 1000)
    assert [document["number"] for document in first] == list(range(2 * BATCH + 3))
    assert writer.counts == Counts(stored=2 * BATCH + 3)


def test_what_waits_is_bounded_and_what_is_dropped_is_counted(store):
    writer = EventWriter(store, most_waiting=10)
    for number in range(25):
        writer.add(event(number=number))
    writer.step()
    assert writer.counts == Counts(stored=10, dropped=15)
    assert len(store.page(EVENTS, "", 100)) == 10


def test_a_store_that_is_away_gets_its_events_into_the_log_and_is_left_alone_for_a_while(
    catalogue_settings, store, caplog
):
    caplog.set_level(logging.INFO)
    clock = Clock()
    away = open_events(replace(catalogue_settings, event_uri=NOWHERE, store_timeout_s=0.05))
    writer = EventWriter(away, most_waiting=7, clock=clock)
    for number in range(9):
        writer.add(event(number=number))
    writer.step()
    assert writer.counts == Counts(logged=7, dropped=2)
    warning, *logged = [record.getMessage() for record in caplog.records]
    assert warning.startswith(
        "events go to this log until their store takes them again: document store: writing events"
    )
    assert [json.loads(line.removeprefix("event "))["number"] for line in logged] == list(range(7))

    # Not asked again at once; and the warning comes once.
    writer._store = store
    writer.add(event(number=10))
    writer.step()
    assert writer.counts.logged == 8
    clock.now += AWAY_S
    writer.add(event(number=11))
    caplog.clear()
    writer.step()
    assert writer.counts == Counts(stored=1, logged=8, dropped=2)
    assert [record.getMessage() for record in caplog.records] == [
        "events are stored again; so far 8 are in this log, and 2 were dropped, as too many waited"
    ]
    assert [document["number"] for document in store.page(EVENTS, "", 9)] == [11]
    away.close()


def test_adding_does_not_wait_for_a_store_that_hangs(store):
    release, entered = threading.Event(), threading.Event()

    class Hanging:
        def add_events(self, documents):
            entered.set()
            release.wait(30)
            store.add_events(documents)

        def remove_expired(self):
            return 0

        def close(self):
            pass

    writer = EventWriter(Hanging())
    writer.start()
    writer.add(event(number=0))
    assert entered.wait(10)
    # The thread is in the middle of a call that does not return.
    for number in range(1, 500):
        writer.add(event(number=number))
    assert writer.counts.stored == 0
    release.set()
    writer.close()
    assert writer.counts.stored == 500


def test_what_waits_at_the_end_is_stored(catalogue_settings, store):
    assert open_writer(catalogue_settings) is None
    writer = open_writer(replace(catalogue_settings, event_log=True))
    writer.add(event(number=1))
    writer.close()
    assert [document["number"] for document in store.page(EVENTS, "", 9)] == [1]


def test_what_has_expired_is_removed_now_and_then(catalogue_settings, caplog):
    clock = Clock()
    store = open_events(replace(catalogue_settings, event_days=1.0))
    writer = EventWriter(store, clock=clock)
    writer.add(event(time.time() - 90_000, number=1))
    writer.add(event(number=2))
    writer.step()
    assert len(store.page(EVENTS, "", 9)) == 2
    clock.now += SWEEP_S
    writer.step()
    assert [document["number"] for document in store.page(EVENTS, "", 9)] == [2]

    def fails():
        raise UnavailableError("no answer")

    store.remove_expired = fails
    writer.step()
    assert caplog.records == []
    clock.now += SWEEP_S
    writer.step()
    assert [record.getMessage() for record in caplog.records] == ["expired events could not be removed: no answer"]
    store.close()


def test_one_that_cannot_be_stored_is_in_the_log_with_those_beside_it(store, caplog):
    caplog.set_level(logging.INFO)
    writer = EventWriter(store)
    writer.add(event(number=1))
    writer.add(event(number=2, words="\ud800"))
    writer.step()
    assert writer.counts == Counts(logged=2)
    trouble, *logged = [record.getMessage() for record in caplog.records]
    assert trouble == "events could not be stored, and follow here"
    assert [json.loads(line.removeprefix("event "))["number"] for line in logged] == [1, 2]
    # The store is not away: the next ones go there.
    writer.add(event(number=3))
    writer.step()
    assert [document["number"] for document in store.page(EVENTS, "", 9)] == [3]


def test_a_fault_of_our_own_does_not_end_the_thread(store, caplog):
    writer = EventWriter(store)
    steps, written = [], threading.Event()
    step = writer.step

    def once():
        steps.append(1)
        if len(steps) == 1:
            raise RuntimeError("nobody foresaw this")
        step()
        if writer.counts.stored:
            written.set()

    writer.step = once
    writer.start()
    writer.add(event(number=1))
    assert written.wait(20)
    writer.close()
    assert [record.getMessage() for record in caplog.records] == ["events could not be written"]
