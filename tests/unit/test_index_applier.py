"""The applier: idempotent, never behind for long, and back by itself when a store has been away."""

from __future__ import annotations

import threading

import pytest

from product_match.contract.errors import ProductMatchError, UnavailableError
from product_match.documents.leases import LEASE_S, RENEW_S, Lease
from product_match.documents.removal import remove_products
from product_match.documents.store import open_documents
from product_match.index import applier as applier_module
from product_match.index.applier import Applier
from tests.fakes.catalogues import POINT_MAKER, points, product_write, unit_vector, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.indexes import MemoryIndex


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, encoder_spec().identity)
    yield opened
    opened.close()


@pytest.fixture
def index():
    return MemoryIndex()


@pytest.fixture
def applier(documents, index):
    made = Applier(documents, index, POINT_MAKER, poll_s=0.02)
    yield made
    made.close()


def state(documents, number):
    return documents.products.find_one({"_id": points(number)[0]})


def test_pending_products_become_points_and_are_no_longer_pending(documents, index, applier):
    write_all(documents, product_write(1, color="red", note="free"), product_write(2, image=False))
    assert applier.apply_once() == 2
    first, second = (index.points[id_] for id_ in points(1, 2))
    assert (first.rev, sorted(first.vectors)) == (1, ["image", "text"])
    assert first.vectors["image"].tolist() == unit_vector(1).tolist()
    assert first.payload == {"category": "Hats", "color": "red", "price": 1.5}
    assert sorted(second.vectors) == ["text"]
    assert documents.count_pending() == 0
    assert applier.apply_once() == 0


def test_a_batch_is_bounded(documents, index, applier):
    write_all(documents, *(product_write(n) for n in range(10)))
    assert applier.apply_once(limit=4) == 4
    assert len(index.points) == 4
    assert documents.count_pending() == 6


def test_an_applied_tombstone_takes_the_point_and_the_document_away(documents, index, applier):
    write_all(documents, product_write(1), product_write(2))
    applier.apply_once()
    assert remove_products(documents, ["p1", "unknown"]) == {"p1": 2}
    assert state(documents, 1)["deleted"]
    assert "image_embeds" not in state(documents, 1)
    applier.apply_once()
    assert set(index.points) == set(points(2))
    assert state(documents, 1) is None


def test_a_product_that_changes_while_it_is_applied_stays_pending(documents, index, applier):
    write_all(documents, product_write(1))

    def change_meanwhile(name):
        index.before = lambda _: None
        write_all(documents, product_write(1, color="blue"))

    index.before = change_meanwhile
    applier.apply_once()
    assert state(documents, 1)["pending"]
    assert index.points[points(1)[0]].rev == 1
    applier.apply_once()
    assert index.points[points(1)[0]].rev == 2
    assert documents.count_pending() == 0


def test_a_tombstone_that_becomes_a_product_again_while_it_is_applied_is_kept(documents, index, applier):
    write_all(documents, product_write(1))
    applier.apply_once()
    remove_products(documents, ["p1"])

    def revive(name):
        if name == "delete":
            index.before = lambda _: None
            write_all(documents, product_write(1))

    index.before = revive
    applier.apply_once()
    applier.apply_once()
    assert index.points[points(1)[0]].rev == 3
    assert documents.count_pending() == 0


def test_what_another_applier_carried_further_is_applied_again(documents, index, applier):
    """A stalled applier puts an old point over a new one; clearing fails, and it mends what it did."""
    write_all(documents, product_write(1), product_write(2))
    other = Applier(documents, index, POINT_MAKER)

    def other_is_faster(name):
        index.before = lambda _: None
        write_all(documents, product_write(1, color="blue"))
        remove_products(documents, ["p2"])
        while other.apply_once():
            pass

    index.before = other_is_faster
    applier.apply_once()
    assert index.points[points(1)[0]].rev == 2
    assert points(2)[0] not in index.points
    assert documents.count_pending() == 0


def test_a_failure_after_the_index_changed_leaves_it_to_the_next_time(documents, index, applier, monkeypatch):
    write_all(documents, product_write(1))
    with monkeypatch.context() as patch:
        patch.setattr(Applier, "_clear", lambda *_: (_ for _ in ()).throw(UnavailableError("killed here")))
        with pytest.raises(UnavailableError):
            applier.apply_once()
    assert state(documents, 1)["pending"]
    applier.apply_once()
    assert documents.count_pending() == 0


def test_the_thread_applies_what_is_written_without_being_woken(documents, index, applier):
    applier.start()
    revs = write_all(documents, *(product_write(n) for n in range(5)))
    assert applier.wait(revs, timeout_s=30) == {}
    assert set(index.points) == set(revs)


def test_waiting_for_nothing_returns_at_once(applier):
    assert applier.wait({}, timeout_s=30) == {}


def test_waiting_ends_with_what_is_left_when_time_is_up(documents, applier):
    revs = write_all(documents, product_write(1))
    assert applier.wait(revs, timeout_s=0.05) == revs


def test_many_waiters_are_all_answered(documents, index, applier):
    applier.start()
    left = []

    def write_and_wait(start):
        revs = write_all(documents, *(product_write(n) for n in range(start, start + 10)))
        left.append(applier.wait(revs, timeout_s=30))

    threads = [threading.Thread(target=write_and_wait, args=(start,)) for start in range(0, 80, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left == [{}] * 8
    assert len(index.points) == 80


def test_an_index_that_is_away_is_logged_once_and_work_goes_on_by_itself(documents, index, monkeypatch, caplog):
    monkeypatch.setattr(applier_module, "MAX_BACKOFF_S", 0.02)
    applier = Applier(documents, index, POINT_MAKER, poll_s=0.01)
    failed = threading.Semaphore(0)

    def away(name):
        failed.release()
        raise UnavailableError("the index is away")

    index.before = away
    revs = write_all(documents, product_write(1))
    applier.start()
    for _ in range(5):
        assert failed.acquire(timeout=30)
    assert applier.trouble == "the index is away"
    index.before = lambda _: None
    assert applier.wait(revs, timeout_s=30) == {}
    applier.close()
    assert applier.trouble is None
    logged = [record.message for record in caplog.records if record.name == applier_module.__name__]
    assert logged == [
        "applying products has stopped: the index is away; it resumes by itself",
        "applying products works again",
    ]


def test_an_unforeseen_error_does_not_end_the_thread(documents, index, monkeypatch, caplog):
    monkeypatch.setattr(applier_module, "MAX_BACKOFF_S", 0.02)
    applier = Applier(documents, index, POINT_MAKER, poll_s=0.01)
    seen = threading.Event()

    def broken(name):
        index.before = lambda _: None
        seen.set()
        raise RuntimeError("nobody thought of this")

    index.before = broken
    revs = write_all(documents, product_write(1))
    applier.start()
    assert applier.wait(revs, timeout_s=30) == {}
    assert seen.is_set()
    applier.close()
    assert "failed in an unforeseen way" in caplog.text


def test_reapplying_puts_right_whatever_is_out_of_step(documents, index, applier):
    write_all(documents, *(product_write(n) for n in range(3)))
    applier.apply_once()
    right = dict(index.points)
    del index.points[points(0)[0]]
    index.points[points(9)[0]] = right[points(1)[0]]
    applier.reapply(points(0, 1, 9))
    assert set(index.points) == set(right)
    applier.reapply([])


def test_changes_are_recorded_for_an_index_that_is_built_meanwhile(documents, index, applier):
    write_all(documents, product_write(1))
    applier.apply_once()
    assert applier.take_recording() == []
    applier.start_recording()
    write_all(documents, product_write(2), product_write(3))
    remove_products(documents, ["p1"])
    applier.apply_once()
    applier.reapply(points(9))
    assert sorted(applier.take_recording()) == sorted(points(1, 2, 3, 9))
    assert applier.take_recording() == []
    fresh = MemoryIndex()
    applier.reapply(points(1, 2), fresh)
    assert set(fresh.points) == set(points(2))
    applier.stop_recording()
    write_all(documents, product_write(4))
    applier.apply_once()
    assert applier.take_recording() == []


def test_closing_before_starting_does_no_harm(documents, index):
    Applier(documents, index, POINT_MAKER).close()


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_of_several_appliers_the_one_with_the_lease_works(documents, index):
    clock = Clock()
    first = Applier(documents, index, POINT_MAKER, lease=Lease(documents.meta, "applier", clock=clock))
    second = Applier(documents, index, POINT_MAKER, lease=Lease(documents.meta, "applier", clock=clock))
    write_all(documents, product_write(1))
    assert first.apply_once() == 1
    write_all(documents, product_write(2))
    assert second.apply_once() == 0
    clock.now += LEASE_S + 0.1
    assert second.apply_once() == 1
    write_all(documents, product_write(3))
    assert first.apply_once() == 0
    second.close()
    assert first.apply_once() == 1


def test_a_lease_is_renewed_now_and_then_and_can_be_lost(documents):
    clock = Clock()
    first, second = (Lease(documents.meta, "x", clock=clock) for _ in range(2))
    assert first.held()
    until = documents.meta.find_one({"_id": "x"})["until"]
    clock.now += RENEW_S / 2
    assert first.held()
    assert documents.meta.find_one({"_id": "x"})["until"] == until
    clock.now += RENEW_S
    assert first.held()
    assert documents.meta.find_one({"_id": "x"})["until"] > until
    assert not second.held()
    first.release()
    assert second.held()
    assert not first.held()


def test_two_that_take_a_free_lease_at_the_same_time_do_not_both_get_it(documents, monkeypatch):
    first, second = (Lease(documents.meta, "x") for _ in range(2))
    collection = type(documents.meta)
    original = collection.find_one

    def then_second_takes_it(self, *args, **kwargs):
        found = original(self, *args, **kwargs)
        monkeypatch.setattr(collection, "find_one", original)
        assert second.held()
        return found

    monkeypatch.setattr(collection, "find_one", then_second_takes_it)
    assert not first.held()


def test_giving_the_lease_back_to_a_store_that_is_away_is_no_error(documents, index, monkeypatch):
    lease = Lease(documents.meta, "x")
    monkeypatch.setattr(Lease, "release", lambda _: (_ for _ in ()).throw(UnavailableError("away")))
    Applier(documents, index, POINT_MAKER, lease=lease).close()


def test_trouble_of_any_kind_is_reported(documents, index, monkeypatch):
    monkeypatch.setattr(applier_module, "MAX_BACKOFF_S", 0.01)
    applier = Applier(documents, index, POINT_MAKER, poll_s=0.01)
    met = threading.Semaphore(0)

    def refuse(name):
        met.release()
        raise ProductMatchError("wrong vectors")

    index.before = refuse
    write_all(documents, product_write(1))
    applier.start()
    assert met.acquire(timeout=30)
    assert met.acquire(timeout=30)
    assert applier.trouble == "wrong vectors"
    applier.close()


def test_the_index_is_flushed_after_many_changes_and_after_the_last_one(documents, index, monkeypatch):
    monkeypatch.setattr(applier_module, "FLUSH_CHANGES", 3)
    flushed = threading.Semaphore(0)
    index.before = lambda name: flushed.release() if name == "flush" else None
    applier = Applier(documents, index, POINT_MAKER, poll_s=0.01)
    applier.start()
    revs = write_all(documents, *(product_write(n) for n in range(3)))
    assert applier.wait(revs, 30) == {}
    assert flushed.acquire(timeout=30)
    revs = write_all(documents, product_write(4))
    assert applier.wait(revs, 30) == {}
    assert not flushed.acquire(blocking=False)
    monkeypatch.setattr(applier_module, "FLUSH_QUIET_S", 0.0)
    assert flushed.acquire(timeout=30)
    applier.close()
