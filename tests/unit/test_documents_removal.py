"""Removing products: tombstones, the applier and other writers in between."""

from __future__ import annotations

import pytest

from product_match.contract.filters import read_filter
from product_match.documents.removal import remove_matching, remove_products
from product_match.documents.store import open_documents
from product_match.index.applier import Applier
from tests.fakes.catalogues import POINT_MAKER, points, product_write, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.indexes import MemoryIndex


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, encoder_spec().identity)
    write_all(opened, *(product_write(n) for n in range(6)))
    yield opened
    opened.close()


def between(documents, monkeypatch, action):
    """Run `action` right after the tombstones are written, or right before, where it is named so."""
    collection = type(documents.products)
    original = collection.update_many

    def interrupted(self, *args, **kwargs):
        monkeypatch.setattr(collection, "update_many", original)
        if action.__name__.startswith("before"):
            action()
            return original(self, *args, **kwargs)
        result = original(self, *args, **kwargs)
        action()
        return result

    monkeypatch.setattr(collection, "update_many", interrupted)


def test_the_answer_names_what_was_there_with_the_revision_of_its_tombstone(documents):
    write_all(documents, product_write(1, color="red"))
    assert remove_products(documents, ["p1", "p2", "p1", "unknown"]) == {"p1": 3, "p2": 2}
    tombstone = documents.read(points(1))[points(1)[0]]
    assert {"_id", "product_id", "rev", "write_id", "pending", "deleted", "encoder", "updated_at"} == set(tombstone)
    assert remove_products(documents, ["p1"]) == {}
    assert remove_products(documents, []) == {}


def test_tombstones_that_the_applier_has_taken_away_already_count(documents, monkeypatch):
    def after_applying():
        Applier(documents, MemoryIndex(), POINT_MAKER).apply_once()
        assert documents.read(points(1)) == {}

    between(documents, monkeypatch, after_applying)
    assert remove_products(documents, ["p1", "p2"]) == {"p1": 2, "p2": 2}


def test_a_product_that_another_writer_removes_at_the_same_time_counts_for_one_or_both(documents, monkeypatch):
    def before_another_removes():
        assert remove_products(documents, ["p1"]) == {"p1": 2}

    between(documents, monkeypatch, before_another_removes)
    assert remove_products(documents, ["p1", "p2"]) == {"p2": 2}
    assert documents.count() == 4


def test_a_product_that_no_longer_fits_the_filter_stays(documents, monkeypatch):
    def before_it_changes():
        write_all(documents, product_write(1, category="Shoes"))

    between(documents, monkeypatch, before_it_changes)
    assert remove_matching(documents, read_filter({"category": "Hats"}), limit=10) == {"p4": 2}
    assert documents.count() == 5


def test_a_product_that_comes_again_right_after_is_kept(documents, monkeypatch):
    def after_it_comes_again():
        write_all(documents, product_write(1, color="red"))

    between(documents, monkeypatch, after_it_comes_again)
    assert remove_products(documents, ["p1"]) == {"p1": 2}
    assert documents.fetch(points(1))[points(1)[0]]["color"] == "red"


def test_no_more_than_the_limit_is_removed(documents):
    assert len(remove_matching(documents, read_filter({"price": {"gte": 0}}), limit=4)) == 4
    assert documents.count() == 2
    assert len(remove_matching(documents, read_filter({"price": {"gte": 0}}), limit=4)) == 2
