"""Replacing an index: what is changed meanwhile, failures, cancellation, the process that derives a shard."""

from __future__ import annotations

import dataclasses
import json
import os
import threading

import pytest

from product_match.contract.errors import CancelledError, ProductMatchError, UnavailableError
from product_match.documents.removal import remove_products
from product_match.documents.store import open_documents
from product_match.index import derivation, rebuilding
from product_match.index.applier import Applier
from product_match.index.edge_builder import EdgeBuilder
from product_match.index.edge_replacement import EdgeReplacement
from product_match.index.rebuilding import Rebuilder
from product_match.vectors.edge_directory import EdgeDirectory
from product_match.vectors.edge_index import EdgeIndex
from product_match.vectors.swappable_index import SwappableIndex
from product_match.vectors.vector_index import VectorQuery
from tests.fakes.catalogues import DIMENSION, POINT_MAKER, RECIPE, points, product_write, unit_vector, write_all
from tests.fakes.encoders import encoder_spec
from tests.fakes.indexes import MemoryIndex


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, encoder_spec().identity)
    yield opened
    opened.close()


class Builder:
    """Derives indexes in memory; `during` runs while one is being derived."""

    def __init__(self, documents):
        self.documents = documents
        self.during = lambda: None
        self.adopted, self.discarded = [], []

    def empty(self, points):
        return MemoryIndex()

    def derived(self, points, report, cancelled):
        fresh = MemoryIndex()
        Applier(self.documents, fresh, POINT_MAKER).reapply(
            [document["_id"] for page in self.documents.walk() for document in page]
        )
        self.during()
        report("loading", fresh.count())
        return fresh

    def adopt(self, index):
        self.adopted.append(index)

    def discard(self, index):
        self.discarded.append(index)


@pytest.fixture
def parts(documents):
    first = MemoryIndex()
    index = SwappableIndex(first)
    applier = Applier(documents, index, POINT_MAKER)
    builder = Builder(documents)
    write_all(documents, *(product_write(n) for n in range(5)))
    applier.apply_once()
    replacement = EdgeReplacement(documents, index, applier, builder)
    return documents, index, applier, builder, replacement, first


def test_what_is_changed_while_an_index_is_derived_is_in_it_when_it_is_swapped_in(parts):
    documents, index, applier, builder, replacement, first = parts

    def meanwhile():
        write_all(documents, product_write(1, color="red"), product_write(9))
        remove_products(documents, ["p2"])
        applier.apply_once()

    builder.during = meanwhile
    assert replacement.rebuild(lambda *_: None, threading.Event()) == 5
    held = {revision.id: revision.rev for revision in index.page(None, 100)}
    assert held == dict(zip(points(0, 1, 3, 4, 9), (1, 2, 1, 1, 1), strict=True))
    assert builder.discarded == [first]
    assert applier.take_recording() == []


def test_changes_that_were_not_applied_before_the_swap_go_to_the_new_index(parts):
    documents, index, applier, builder, replacement, first = parts
    builder.during = lambda: write_all(documents, product_write(9))
    replacement.rebuild(lambda *_: None, threading.Event())
    applier.apply_once()
    assert set(index.lookup(points(9))) == set(points(9))
    assert points(9)[0] not in first.points


def test_changes_that_keep_coming_do_not_keep_the_swap_from_happening(parts, monkeypatch):
    from product_match.index import edge_replacement

    documents, index, applier, _, replacement, _ = parts
    monkeypatch.setattr(edge_replacement, "FEW_CHANGES", 0)
    numbers = iter(range(100, 1000))
    original = Applier.take_recording

    def busy(self):
        write_all(documents, product_write(next(numbers)))
        applier.apply_once()
        return original(self)

    monkeypatch.setattr(Applier, "take_recording", busy)
    replacement.rebuild(lambda *_: None, threading.Event())
    assert index.count() == 5 + next(numbers) - 100


@pytest.mark.parametrize("error", [ProductMatchError("the disk is full"), RuntimeError("nobody thought of this")])
def test_a_rebuild_that_fails_leaves_the_index_in_use(parts, error, caplog):
    _, index, applier, builder, replacement, first = parts

    def fail():
        raise error

    builder.during = fail
    rebuilder = Rebuilder(replacement)
    rebuilder.start()
    assert rebuilder.join(30)
    assert rebuilder.state()["state"] == "failed"
    words = "the disk is full" if type(error) is ProductMatchError else "internal error; see the server log"
    assert rebuilder.state()["message"] == words
    assert index.count() == 5
    assert not first.closed
    assert builder.adopted == []
    assert applier.take_recording() == []
    builder.during = lambda: None
    rebuilder.start()
    assert rebuilder.join(30)
    assert rebuilder.state()["state"] == "done"
    assert rebuilder.state()["points"] == 5


def test_a_second_start_while_one_is_running_starts_nothing(parts):
    *_, builder, replacement, _ = parts
    entered, leave = threading.Event(), threading.Event()

    def slow():
        entered.set()
        leave.wait(30)

    builder.during = slow
    rebuilder = Rebuilder(replacement)
    rebuilder.start()
    assert entered.wait(30)
    assert rebuilder.start()["state"] == "running"
    assert not rebuilder.join(0.0)
    leave.set()
    assert rebuilder.join(30)
    assert len(builder.adopted) == 1


def test_closing_cancels_a_rebuild_and_throws_away_what_it_made(parts):
    *_, builder, replacement, first = parts
    entered, leave = threading.Event(), threading.Event()
    builder.during = lambda: (entered.set(), leave.wait(30))
    rebuilder = Rebuilder(replacement)
    rebuilder.start()
    assert entered.wait(30)
    threading.Timer(0.05, leave.set).start()
    rebuilder.close()
    assert rebuilder.state() == {"state": "failed", "message": "it was cancelled"}
    assert len(builder.discarded) == 1
    assert builder.discarded[0] is not first


def test_dropping_waits_for_a_rebuild_to_stop(parts, monkeypatch):
    monkeypatch.setattr(rebuilding, "STOP_WAIT_S", 0.05)
    _, index, _, builder, replacement, _ = parts
    entered, leave = threading.Event(), threading.Event()
    builder.during = lambda: (entered.set(), leave.wait(30))
    rebuilder = Rebuilder(replacement)
    assert rebuilder.join(0.0)
    rebuilder.start()
    assert entered.wait(30)
    with pytest.raises(UnavailableError, match="a rebuild is going on and has not stopped yet; try again"):
        rebuilder.drop()
    leave.set()
    assert rebuilder.join(30)
    assert rebuilder.drop() == 5
    assert index.count() == 0


@pytest.fixture
def edge(catalogue_settings):
    directory = EdgeDirectory(catalogue_settings.index_directory, encoder_spec().revision, DIMENSION)
    return EdgeBuilder(catalogue_settings, encoder_spec(), directory), directory


def test_a_shard_is_derived_by_a_process_of_its_own(documents, edge):
    builder, directory = edge
    write_all(documents, *(product_write(n) for n in range(30)), product_write(30, image=False))
    remove_products(documents, ["p3"])
    stages = []
    index = builder.derived(POINT_MAKER, lambda stage, count: stages.append((stage, count)), threading.Event())
    assert index.count() == 30
    assert stages == [("loading", 30)]
    ((hit,),) = index.search([VectorQuery(vector_name="image", vector=unit_vector(7), limit=1)])
    assert hit.id == points(7)[0]
    builder.adopt(index)
    assert directory.current() == index.directory
    builder.discard(index)
    assert not index.directory.exists()
    assert not list(directory.path.glob("*.log"))


def test_a_process_that_fails_is_told_with_its_words_and_leaves_nothing(documents, edge, catalogue_settings):
    _, directory = edge
    settings = dataclasses.replace(
        catalogue_settings, encoder_directory=catalogue_settings.encoder_directory / "gone"
    )
    builder = EdgeBuilder(settings, encoder_spec(), directory)
    with pytest.raises(ProductMatchError, match=r"the process that derives the index ended with 1: .*gone is not an"):
        builder.derived(POINT_MAKER, lambda *_: None, threading.Event())
    assert list(directory.path.iterdir()) == []


def test_a_process_is_killed_when_the_rebuild_is_cancelled(documents, edge):
    builder, directory = edge
    write_all(documents, *(product_write(n) for n in range(3)))
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError, match="it was cancelled"):
        builder.derived(POINT_MAKER, lambda *_: None, cancelled)
    assert list(directory.path.iterdir()) == []


def test_an_index_of_another_kind_is_no_shard(edge):
    with pytest.raises(TypeError, match="expected a shard, got MemoryIndex"):
        edge[0].adopt(MemoryIndex())


def test_a_large_shard_gets_a_graph_and_a_small_one_none(documents, memory_path, capsys):
    write_all(documents, *(product_write(n) for n in range(150)))
    small, large = (EdgeIndex(memory_path / name, DIMENSION) for name in ("small", "large"))
    assert derivation.derive(documents, small, POINT_MAKER, graph_threshold=151) == 150
    assert derivation.derive(documents, large, POINT_MAKER, graph_threshold=150) == 150
    assert (small.count_unindexed(), large.count_unindexed()) == (150, 0)
    stages = [json.loads(line)["stage"] for line in capsys.readouterr().out.splitlines()]
    assert stages == ["loading", "loading", "building the graph"]
    small.close()
    large.close()


def test_the_main_program_derives_what_its_argument_names(
    documents, catalogue_settings, memory_path, monkeypatch, capsys
):
    monkeypatch.setattr(os, "nice", lambda _: 0)
    for name, value in catalogue_settings.to_environment().items():
        monkeypatch.setenv(name, value)
    write_all(documents, product_write(1))
    assert derivation.main([str(memory_path / "shard"), RECIPE.to_json()]) == 0
    monkeypatch.setenv("PRODUCT_MATCH_STORE_TIMEOUT_S", "soon")
    assert derivation.main([str(memory_path / "other"), RECIPE.to_json()]) == 1
    assert "PRODUCT_MATCH_STORE_TIMEOUT_S must be a number" in capsys.readouterr().err
