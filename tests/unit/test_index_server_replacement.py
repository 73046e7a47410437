"""Two processes that replace one collection of a Qdrant server: one does, and nothing is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import threading

import pytest

from product_match.catalogue.opening import open_for_writing
from product_match.contract.errors import CancelledError, ProductMatchError, UnavailableError
from product_match.documents import leases
from product_match.documents.leases import KeptLease, Lease
from product_match.host.polling import wait_until
from product_match.index import server_replacement
from product_match.index.rebuilding import Rebuilder
from product_match.index.server_replacement import LeftoverSweep, ServerReplacement
from product_match.settings import VectorIndexKind
from tests.fakes.catalogues import product_write, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.qdrant_server import FakeQdrant


@pytest.fixture
def qdrant():
    with FakeQdrant() as server:
        yield server


@pytest.fixture
def pair(catalogue_settings, qdrant, monkeypatch):
    """Two open catalogues on one pair of stores, as of two Tritons; quick to renew and to take over."""
    monkeypatch.setattr(leases, "LEASE_S", 1.0)
    monkeypatch.setattr(leases, "RENEW_S", 0.2)
    made = []
    honest = ServerReplacement.__init__

    def noted(self, *arguments):
        honest(self, *arguments)
        made.append(self)

    monkeypatch.setattr(ServerReplacement, "__init__", noted)
    settings = dataclasses.replace(catalogue_settings, vector_index=VectorIndexKind.SERVER, qdrant_url=qdrant.address)
    with contextlib.ExitStack() as opened:
        catalogues = [open_for_writing(settings, encoder_spec()) for _ in range(2)]
        for catalogue in catalogues:
            opened.callback(catalogue.close)
        documents = catalogues[0].documents
        revs = write_all(documents, *(product_write(n) for n in range(12)))
        assert not catalogues[0].owner.wait_applied(revs, 20.0)
        yield catalogues, made


def points(qdrant):
    (collection,) = qdrant.collections.values()
    return len(collection.points)


def behind_the_alias(qdrant):
    (name,) = qdrant.aliases.values()
    return name


def test_of_two_rebuilds_at_once_one_is_done_and_no_collection_is_left(pair, qdrant):
    catalogues, _ = pair
    for catalogue in catalogues:
        catalogue.owner.rebuild()
    assert wait_until(
        lambda: all(c.owner.status()["rebuild"]["state"] in ("done", "failed") for c in catalogues), 30.0
    )
    states = [catalogue.owner.status()["rebuild"] for catalogue in catalogues]
    assert "done" in [state["state"] for state in states]
    for state in states:
        assert state["state"] == "done" or "another process rebuilds or drops this collection" in state["message"]
    assert list(qdrant.collections) == [behind_the_alias(qdrant)]
    assert points(qdrant) == 12


def test_what_a_rebuild_that_died_has_left_is_removed_by_who_holds_the_lease(pair, qdrant, monkeypatch):
    (_, replacement) = pair[1]
    dead = ServerReplacement.rebuild
    with monkeypatch.context() as killed:
        killed.setattr(server_replacement.ServerCollections, "remove", lambda *_: None)
        cancelled = threading.Event()
        cancelled.set()
        with pytest.raises(CancelledError):
            dead(replacement, lambda *_: None, cancelled)
    assert len(qdrant.collections) == 2
    assert replacement.sweep() == 1
    assert list(qdrant.collections) == [behind_the_alias(qdrant)]
    assert replacement.sweep() == 0


def test_a_sweep_goes_on_by_itself_and_past_stores_that_are_away(pair, qdrant, caplog):
    class Odd:
        asked = 0

        def sweep(self):
            self.asked += 1
            raise [UnavailableError("away"), ValueError("odd"), ProductMatchError("full")][self.asked % 3]

    odd = Odd()
    sweep = LeftoverSweep(odd, 0.01)
    sweep.start()
    assert wait_until(lambda: odd.asked > 3, 10.0)
    sweep.close()
    assert "leftovers could not be removed" in caplog.text


def test_a_rebuild_is_refused_while_another_process_has_the_lease(pair):
    _, (first, second) = pair
    with first._alone("rebuild"):
        for refused in (second.sweep, second.drop, lambda: second.rebuild(lambda *_: None, threading.Event())):
            with pytest.raises(UnavailableError, match="another process rebuilds or drops this collection"):
                refused()
    assert second.sweep() == 0


def test_a_holder_that_was_stopped_for_longer_than_its_lease_neither_switches_nor_leaves_anything(pair, qdrant):
    """Held between its last comparison and the switch, while another process rebuilds and is done."""
    _, (first, second) = pair
    stale = Lease(first._documents.meta, f"replacing_{first._collections.alias}", clock=lambda: 0.0)
    # A lease that ran out long ago, as after a stop; the holder does not know.
    kept = KeptLease(stale, "rebuild")
    assert stale.held()
    name = first._collections.fresh()
    first._collections.create(name)
    assert second.rebuild(lambda *_: None, threading.Event()) == 12
    assert list(qdrant.collections) == [behind_the_alias(qdrant)]
    # Even without asking for the lease again, what it has made is gone: it can serve nothing.
    with pytest.raises(CancelledError, match="was removed by another process; start again"):
        first._collections.switch(name)
    assert behind_the_alias(qdrant) != name
    with (
        second._alone("rebuild"),
        pytest.raises(CancelledError, match="so long that another has taken over"),
    ):
        kept.check()


def test_what_is_removed_was_there_while_the_lease_was_ones_own(pair, qdrant):
    """Stopped between its list and its removals: a collection that another made meanwhile is not on the list."""
    _, (first, second) = pair
    listed = first._collections.leftovers()
    second.rebuild(lambda *_: None, threading.Event())
    newer = second._collections.fresh()
    second._collections.create(newer)
    assert newer not in listed
    assert behind_the_alias(qdrant) not in listed
    assert second._collections.leftovers() == [newer]


def test_dropping_leaves_one_empty_collection(pair, qdrant):
    catalogues, _ = pair
    assert catalogues[1].owner.drop() == 12
    assert list(qdrant.collections) == [behind_the_alias(qdrant)]
    assert points(qdrant) == 0
    assert catalogues[0].documents.count() == 0


def test_a_lease_is_kept_for_longer_than_one_lasts(pair):
    documents = pair[0][0].documents
    clock = [1000.0]
    other = Lease(documents.meta, "long", clock=lambda: clock[0])
    mine = Lease(documents.meta, "long", clock=lambda: clock[0])
    with KeptLease(mine, "rebuild") as kept:
        for _ in range(3):
            clock[0] += 0.5
            kept.check()
            assert not other.held()
    assert other.held()


def test_a_rebuilder_tells_that_another_process_is_at_it(pair):
    _, (first, second) = pair
    rebuilder = Rebuilder(second)
    with first._alone("rebuild"):
        rebuilder.start()
        assert rebuilder.join(20.0)
    assert rebuilder.state()["message"].startswith("rebuild: another process rebuilds or drops this collection")
