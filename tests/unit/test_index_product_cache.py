"""The product cache never shows what is older than the index, and never grows beyond its bound."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from product_match.contract.errors import UnavailableError
from product_match.index.applier import Applier
from product_match.index.product_cache import CachedProducts
from tests.fakes.catalogues import POINT_MAKER


class Source:
    """A document store that counts its calls."""

    def __init__(self, **names):
        self.names = names
        self.calls = []
        self.during = lambda: None

    def fetch(self, ids):
        self.calls.append(list(ids))
        found = {id_: {"id": id_, "name": self.names[id_]} for id_ in ids if id_ in self.names}
        self.during()
        return found


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def names(found):
    return {id_: json.loads(product.json)["name"] for id_, product in found.items()}


def cached(source, **arguments):
    return CachedProducts(source, lambda: True, **arguments)


def test_a_product_is_read_once():
    source = Source(a="one", b="two")
    cache = cached(source)
    assert names(cache.fetch(["a"])) == {"a": "one"}
    assert names(cache.fetch(["a", "b"])) == {"a": "one", "b": "two"}
    assert source.calls == [["a"], ["b"]]


def test_the_id_of_a_product_is_its_own_field():
    assert cached(Source(a="one")).fetch(["a"])["a"].product_id == "a"


def test_a_product_that_is_not_there_is_asked_for_again():
    source = Source()
    cache = cached(source)
    assert cache.fetch(["a"]) == {}
    source.names["a"] = "one"
    assert names(cache.fetch(["a"])) == {"a": "one"}


def test_a_forgotten_product_is_read_again():
    source = Source(a="old", b="two")
    cache = cached(source)
    cache.fetch(["a", "b"])
    source.names["a"] = "new"
    cache.forget(["a", "unknown"])
    assert names(cache.fetch(["a", "b"])) == {"a": "new", "b": "two"}
    assert source.calls[1:] == [["a"]]


def test_what_was_read_before_a_change_is_not_kept_after_it():
    source = Source(a="old")
    cache = cached(source)

    def change():
        source.during = lambda: None
        source.names["a"] = "new"
        cache.forget(["a"])

    source.during = change
    assert names(cache.fetch(["a"])) == {"a": "old"}
    assert names(cache.fetch(["a"])) == {"a": "new"}


def test_where_changes_are_not_seen_every_read_goes_to_the_store():
    source = Source(a="one")
    in_step = True
    cache = CachedProducts(source, lambda: in_step)
    cache.fetch(["a"])
    in_step = False
    source.names["a"] = "two"
    assert names(cache.fetch(["a"])) == {"a": "two"}
    assert len(source.calls) == 2


def test_a_store_that_is_down_is_told():
    class Down:
        def fetch(self, ids):
            raise UnavailableError("document store: it does not answer")

    with pytest.raises(UnavailableError, match="does not answer"):
        cached(Down()).fetch(["a"])


def test_an_old_entry_is_read_again():
    clock, source = Clock(), Source(a="one")
    cache = cached(source, max_age_s=60.0, clock=clock)
    cache.fetch(["a"])
    clock.now = 60.0
    cache.fetch(["a"])
    assert len(source.calls) == 1
    clock.now = 60.1
    cache.fetch(["a"])
    assert len(source.calls) == 2


def test_the_least_recently_used_products_are_dropped_beyond_the_bound():
    source = Source(**dict.fromkeys("abc", "x" * 1000))
    cache = cached(source, capacity_bytes=2 * 1700)
    cache.fetch(["a"])
    cache.fetch(["b"])
    cache.fetch(["a"])
    cache.fetch(["c"])
    source.calls.clear()
    cache.fetch(["a", "b", "c"])
    assert source.calls == [["b"]]


class Documents:
    """What the applier needs of the document store."""

    def __init__(self, pending=()):
        self.waiting = list(pending)
        self.down = False
        self.products = self

    def pending(self, limit):
        if self.down:
            raise UnavailableError("document store: it does not answer")
        return self.waiting[:limit]

    def read(self, ids):
        return {document["_id"]: document for document in self.waiting if document["_id"] in ids}

    def bulk_write(self, operations, ordered):
        self.waiting.clear()
        return SimpleNamespace(matched_count=len(operations), deleted_count=0)


class Index:
    def __init__(self, log):
        self.log = log

    def upsert(self, points):
        self.log.append(("upsert", [point.id for point in points]))

    def delete(self, ids):
        self.log.append(("delete", list(ids)))


def document(id_, **fields):
    return {"_id": id_, "write_id": "w", "rev": 1, "pending": True, "product": {"id": id_}, **fields}


def test_the_applier_tells_of_changes_before_the_index_shows_them():
    log = []
    documents = Documents([document("a"), document("b", deleted=True)])
    applier = Applier(documents, Index(log), POINT_MAKER, changing=lambda ids: log.append(("changing", list(ids))))
    assert applier.apply_once() == 2
    assert log[0] == ("changing", ["a", "b"])
    assert {name for name, _ in log[1:]} == {"upsert", "delete"}


def test_products_that_are_gone_are_told_of_as_well():
    log = []
    applier = Applier(Documents(), Index(log), POINT_MAKER, changing=lambda ids: log.append(("changing", list(ids))))
    applier.reapply(["gone"])
    assert ("changing", ["gone"]) in log
    assert log.index(("changing", ["gone"])) < log.index(("delete", ["gone"]))


def test_the_applier_is_in_step_only_while_it_works():
    documents = Documents()
    rounds = []
    applier = Applier(documents, Index([]), POINT_MAKER, poll_s=0.001)
    assert not applier.in_step(within_s=3600.0)
    documents.down = True
    applier.start()
    try:
        applier.wait({}, timeout_s=5.0)
        while applier.trouble is None:
            rounds.append(None)
        assert not applier.in_step(within_s=3600.0)
        documents.down = False
        while not applier.in_step(within_s=3600.0):
            rounds.append(None)
        assert not applier.in_step(within_s=-1.0)
    finally:
        applier.close()
