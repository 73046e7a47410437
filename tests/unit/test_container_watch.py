"""The container's watch: what is waited for, what ends it and with which words, on a clock of the test's own."""

from __future__ import annotations

import contextlib

import pytest

from product_match.container import watch as watching
from product_match.container.stores import StoreWatch
from product_match.container.watch import Limits, Watch
from product_match.contract.errors import ConfigError, StackError, UnavailableError
from product_match.host.supervision import Signs


class Signals:
    """Lets time pass, a second a look, and runs what the test has for that second; stops at the last."""

    def __init__(self, last, events):
        self.now, self.last, self.events = 0.0, last, events

    def clock(self):
        return self.now

    def deferred(self):
        return contextlib.nullcontext()

    def wait(self, timeout_s):
        self.now += 1.0
        self.events.get(int(self.now), lambda: None)()
        return self.now >= self.last


class Child:
    name, pid, running, started, stopped = "Triton", 100, False, 0, 0

    def start(self):
        self.running = True
        self.started += 1

    def stop(self, grace_s):
        self.running = False
        self.stopped += 1

    def describe_end(self):
        return "Triton ended with exit code 1; its log is above"

    def describe_log(self):
        return "its log is above"


class Place:
    """All that a watch looks at, as the test sets it."""

    def __init__(self, monkeypatch):
        self.child, self.ready, self.reports = Child(), True, []
        self.faults = {"document store": None, "vector index": None, "index": None}
        monkeypatch.setattr("product_match.host.supervision.children_of", lambda pid: {1: ["stub", "m/1/model.py"]})
        monkeypatch.setattr("product_match.host.supervision.process_alive", lambda pid: pid != self.dead)
        monkeypatch.setattr("product_match.host.supervision.process_held", lambda pid: False)
        self.dead = None

    def ask(self, name):
        def question():
            if self.faults[name]:
                raise self.faults[name]

        return question

    def run(self, last, events=None, **limits):
        self.signals = Signals(last, events or {})
        names = ("document store", "vector index")
        stores = StoreWatch({name: self.ask(name) for name in names}, away_s=10.0, clock=self.signals.clock)
        stores.ask()
        before = self.signals.wait
        self.signals.wait = lambda timeout_s: stores.ask() or before(timeout_s)
        Watch(
            child=self.child,
            signs=Signs(is_ready=lambda: self.ready),
            stores=stores,
            index_is_open=self.ask("index"),
            health=self,
            signals=self.signals,
            limits=Limits(**{"stores_s": 30.0, "start_s": 60.0, **limits}),
            clock=self.signals.clock,
        ).run()

    def report(self, reasons):
        self.reports.append((self.signals.now, list(reasons)))


@pytest.fixture
def place(monkeypatch):
    return Place(monkeypatch)


def test_triton_is_started_stands_ready_and_is_stopped_as_asked(place):
    place.run(5)
    assert (place.child.started, place.child.stopped) == (1, 1)
    assert [reasons for _, reasons in place.reports[:-1]] == [[]] * 4
    assert place.reports[-1][1] == ["stopping"]


def test_stores_that_come_late_are_waited_for(place):
    place.faults["document store"] = UnavailableError("document store: it does not answer")
    place.run(12, {7: lambda: place.faults.update({"document store": None})})
    assert place.child.started == 1
    assert place.reports[0][1] == ["waiting for the stores: document store: it does not answer"]
    assert place.reports[-2][1] == []


def test_stores_that_do_not_come_end_it_before_triton_starts(place):
    place.faults["vector index"] = ConfigError("vector index: the server refuses the API key; correct it")
    with pytest.raises(UnavailableError) as ended:
        place.run(100)
    assert str(ended.value) == (
        "the stores did not come within 30 s: vector index: the server refuses the API key; correct it"
    )
    assert place.child.started == 0


def test_a_stop_signal_ends_the_wait(place):
    place.faults["vector index"] = UnavailableError("away")
    place.run(3)
    assert place.child.started == 0


def test_a_store_that_goes_away_makes_it_not_ready_after_the_limit_and_nothing_else(place):
    away = UnavailableError("vector index: it did not answer")
    events = {5: lambda: place.faults.update({"vector index": away})}
    events[25] = lambda: place.faults.update({"vector index": None})
    place.run(30, events)
    unready = [(second, reasons) for second, reasons in place.reports[:-1] if reasons]
    assert [second for second, _ in unready] == list(range(15, 26))
    assert unready[0][1] == ["vector index is away for 10 s: vector index: it did not answer"]
    assert place.child.started == 1


def test_an_index_that_is_not_opened_is_not_ready(place):
    place.faults["index"] = UnavailableError("no collection is behind the alias products-1")
    place.run(6, {3: lambda: place.faults.update(index=None)})
    words = ["the index is not opened: no collection is behind the alias products-1"]
    assert [reasons for _, reasons in place.reports] == [words, words, [], [], [], ["stopping"]]


def test_models_that_are_not_ready_for_a_while_are_told_and_left_alone(place):
    place.run(8, {3: lambda: setattr(place, "ready", False), 6: lambda: setattr(place, "ready", True)})
    assert [second for second, reasons in place.reports[:-1] if reasons] == [3, 4, 5]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (lambda place: setattr(place, "dead", 1), "not started again: the process of the model "),
        (lambda place: setattr(place.child, "running", False), "Triton ended with exit code 1; its log is above"),
    ],
    ids=["a model", "Triton"],
)
def test_a_death_ends_it(place, event, words):
    with pytest.raises(StackError) as ended:
        place.run(60, {4: lambda: event(place)})
    assert words in str(ended.value)
    assert place.reports[-1][1] == ["stopping"]
    assert place.child.stopped == 1


def test_a_triton_that_ends_while_it_starts_is_told(place):
    place.ready = False
    with pytest.raises(StackError, match="Triton did not start: Triton ended with exit code 1"):
        place.run(60, {4: lambda: setattr(place.child, "running", False)})


def test_a_triton_that_is_never_ready_ends_it(place):
    place.ready = False
    with pytest.raises(StackError, match="Triton did not come within 60 s: not all models are ready"):
        place.run(100)


def test_what_is_waited_for_is_said_now_and_then(place, caplog, monkeypatch):
    caplog.set_level("INFO", watching.__name__)
    place.faults["vector index"] = UnavailableError("away")
    place.run(25)
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for the stores for 10 s: away",
        "waiting for the stores for 20 s: away",
    ]
