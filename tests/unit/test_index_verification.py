"""Comparing both stores: every kind of fault, false alarms, repair, steps, and the comparison after a start."""

from __future__ import annotations

import threading

import pytest

from product_match.contract.errors import InvalidRequestError, UnavailableError
from product_match.documents.removal import remove_products
from product_match.documents.store import open_documents
from product_match.index import background_verification, verification
from product_match.index.applier import Applier
from product_match.index.background_verification import BackgroundVerification
from product_match.index.verification import Verification, verify
from product_match.vectors.vector_index import VectorPoint
from tests.fakes.catalogues import POINT_MAKER, points, product_write, unit_vector, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.indexes import MemoryIndex


class Owner:
    """The part of an owner that a comparison needs, over an index in memory."""

    def __init__(self, index, applier):
        self.index, self.applier = index, applier
        self.count, self.lookup, self.page = index.count, index.lookup, index.page

    def reapply(self, ids):
        self.applier.reapply(ids)
        return len(ids)


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, encoder_spec().identity)
    yield opened
    opened.close()


@pytest.fixture
def index():
    return MemoryIndex()


@pytest.fixture
def owner(documents, index):
    return Owner(index, Applier(documents, index, POINT_MAKER))


@pytest.fixture
def loaded(documents, owner, monkeypatch):
    """Twenty products in step, and pages small enough to need several."""
    monkeypatch.setattr(verification, "PAGE_SIZE", 6)
    write_all(documents, *(product_write(n) for n in range(20)))
    while owner.applier.apply_once():
        pass


def stale(number, rev=1, names=("image", "text")):
    return VectorPoint(id=points(number)[0], rev=rev, vectors=dict.fromkeys(names, unit_vector(0)), payload={})


def test_stores_in_step_are_reported_so(documents, owner, loaded):
    report = verify(documents, owner)
    assert report.in_step
    assert (report.documents, report.vectors, report.pending, report.repaired) == (20, 20, 0, 0)
    assert report.to_dict()["in_step"] is True


def test_an_empty_catalogue_is_in_step(documents, owner):
    assert verify(documents, owner).in_step


@pytest.mark.parametrize(
    ("kind", "damage", "example"),
    [
        ("missing", lambda index, _: index.points.pop(points(3)[0]), "p3"),
        ("orphaned", lambda index, _: index.points.update({points(99)[0]: stale(99)}), points(99)[0]),
        ("wrong_rev", lambda index, _: index.points.update({points(4)[0]: stale(4, rev=7)}), "p4"),
        ("wrong_vectors", lambda index, _: index.points.update({points(5)[0]: stale(5, names=("text",))}), "p5"),
    ],
)
def test_each_fault_is_found_and_repaired(documents, index, owner, loaded, kind, damage, example):
    damage(index, documents)
    report = verify(documents, owner)
    assert not report.in_step
    assert {name: getattr(report, name) for name in verification.FAULTS} == {
        **dict.fromkeys(verification.FAULTS, 0),
        kind: 1,
    }
    assert report.examples == {kind: [example]}
    repaired = verify(documents, owner, repair=True)
    assert (getattr(repaired, kind), repaired.repaired) == (1, 1)
    assert verify(documents, owner).in_step


def test_products_of_another_encoder_are_found_and_cannot_be_repaired(documents, owner, loaded):
    documents.products.update_one({"_id": points(2)[0]}, {"$set": {"encoder": "older@1"}})
    assert verify(documents, owner, repair=True).wrong_encoder == 1
    assert verify(documents, owner).examples == {"wrong_encoder": ["p2"]}


def test_pending_products_are_no_fault(documents, owner, loaded):
    write_all(documents, product_write(30), product_write(1, color="red"))
    remove_products(documents, ["p2"])
    report = verify(documents, owner)
    assert report.in_step
    assert (report.pending, report.documents) == (3, 20)


def test_photos_that_no_product_has_are_counted_and_removed_by_a_repair_once_they_are_old(documents, owner, loaded):
    remove_products(documents, ["p1", "p2"])
    report = verify(documents, owner, repair=True)
    assert (report.photos, report.unused_photos, report.removed_photos) == (20, 2, 0)
    assert report.in_step
    documents.images.update_many({"kept_at": {"$gt": 0}}, {"$set": {"kept_at": 0}})
    assert verify(documents, owner).removed_photos == 0
    assert verify(documents, owner, repair=True).removed_photos == 2
    assert verify(documents, owner).photos == 18


def test_the_examples_are_few_however_many_faults(documents, index, owner, loaded):
    index.points.clear()
    report = verify(documents, owner)
    assert report.missing == 20
    assert len(report.examples["missing"]) == verification.MAX_EXAMPLES
    report.note("missing", "one more")
    assert len(report.examples["missing"]) == verification.MAX_EXAMPLES


def test_what_changes_during_the_comparison_is_no_fault(documents, index, owner, loaded):
    """Each time the comparison looks into the index, products have just been changed, applied, removed and added."""
    busy = iter(range(100, 200))

    def meanwhile(name):
        if name not in ("lookup", "page"):
            return
        index.before = lambda _: None
        number = next(busy)
        write_all(documents, product_write(number % 20, color=f"c{number}"), product_write(number))
        remove_products(documents, [f"p{number - 1}"])
        while owner.applier.apply_once():
            pass
        index.before = meanwhile

    index.before = meanwhile
    assert verify(documents, owner).in_step
    assert next(busy) > 105


def test_a_point_that_goes_away_during_the_comparison_is_no_orphan(documents, index, owner, loaded):
    write_all(documents, product_write(50))
    owner.applier.apply_once()
    page = index.page(None, 100)
    remove_products(documents, ["p50"])
    owner.applier.apply_once()
    owner.page = lambda after, limit: [] if after else page[:6]
    assert verify(documents, owner).orphaned == 0


def test_a_comparison_goes_on_in_another_process_from_its_state(documents, index, owner, loaded):
    index.points.pop(points(3)[0])
    state, answers = None, 0
    while True:
        step = Verification(documents, owner)
        if state is not None:
            step.resume_from(state)
        report = step.run(limit_s=0.0)
        answers += 1
        if step.done:
            break
        state = step.to_state()
    assert answers == 12  # pages of 6 in 20 documents, in 19 points, and in 20 photos
    assert (report.documents, report.missing, report.vectors) == (20, 1, 19)
    step.resume_from(step.to_state())
    assert step.run().missing == 1


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "must be the object of the answer before, unchanged"),
        ({"stage": "documents", "after": "", "report": {"x": 1}}, "must be the object of the answer before"),
        ({"stage": "elsewhere", "after": "", "report": {}}, "names no stage of a comparison"),
        ({"stage": "points", "after": 5, "report": {}}, "names no stage of a comparison"),
    ],
)
def test_a_state_that_was_not_ours_is_refused(documents, owner, state, words):
    with pytest.raises(InvalidRequestError, match=words):
        Verification(documents, owner).resume_from(state)


def test_a_verification_at_the_start_applies_what_is_missing(documents, index, owner, loaded, caplog):
    index.points.clear()
    running = BackgroundVerification(documents, owner)
    running.start()
    assert running.join(30)
    assert running.done
    assert running.report()["repaired"] == 20
    assert len(index.points) == 20
    assert "20 points mended" in caplog.text
    running.close()


def test_a_verification_at_the_start_waits_for_a_store(documents, index, owner, loaded, monkeypatch, caplog):
    monkeypatch.setattr(background_verification, "RETRY_S", 0.01)
    failures = threading.Semaphore(0)

    def away(name):
        failures.release()
        raise UnavailableError("the index is away")

    index.before = away
    running = BackgroundVerification(documents, owner)
    running.start()
    assert failures.acquire(timeout=30)
    assert failures.acquire(timeout=30)
    index.before = lambda _: None
    assert running.join(30)
    assert running.done
    assert "goes on in a moment: the index is away" in caplog.text


def test_a_verification_at_the_start_that_is_stopped_is_not_done(documents, index, owner, loaded, monkeypatch):
    reached = threading.Event()

    def away(name):
        reached.set()
        raise UnavailableError("the index is away")

    index.before = away
    running = BackgroundVerification(documents, owner)
    running.start()
    assert reached.wait(30)
    running.close()
    assert not running.done
    assert running.join(0)
