"""Shards on disk: one owner, the right encoder, damage, leftovers, and exchange while in use."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import uuid

import numpy as np
import pytest
import qdrant_edge

from product_match.contract.errors import ConfigError, DamagedIndexError, ProductMatchError, UnavailableError
from product_match.contract.vectors import VECTOR_NAMES
from product_match.vectors import edge_directory, edge_index
from product_match.vectors.edge_directory import EdgeDirectory
from product_match.vectors.edge_index import EdgeIndex
from product_match.vectors.swappable_index import SwappableIndex
from product_match.vectors.vector_index import VectorPoint, VectorQuery
from tests.fakes.catalogues import DIMENSION, unit_vector

REVISION = "0123456789ab"
ORIGINAL_CONFIG = edge_index.edge_config


def points(count, start=0):
    return [
        VectorPoint(
            id=str(uuid.UUID(int=n + 1)), rev=1, vectors={"image": unit_vector(n)}, payload={"category": "Shoes"}
        )
        for n in range(start, start + count)
    ]


@pytest.fixture
def directory(memory_path):
    return EdgeDirectory(memory_path, REVISION, DIMENSION)


def test_points_are_there_after_closing_and_opening(memory_path):
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    index.upsert(points(10))
    index.close()
    index.close()
    again = EdgeIndex(memory_path / "shard", DIMENSION)
    assert again.count() == 10
    again.close()


def test_a_closed_index_says_so(memory_path):
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    index.close()
    with pytest.raises(UnavailableError, match="is closed: the server is stopping; try again"):
        index.count()


def test_points_survive_a_process_that_is_killed_without_closing(memory_path):
    code = f"""
import os
from pathlib import Path
from product_match.vectors.edge_index import EdgeIndex
from tests.unit.test_vectors_edge import points
index = EdgeIndex(Path({str(memory_path / "shard")!r}), {DIMENSION})
for start in range(0, 50, 10):
    index.upsert(points(10, start))
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    assert index.count() == 50
    index.close()


def test_a_second_owner_is_told_that_there_is_one(memory_path):
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    with pytest.raises(ConfigError, match="is held by another process; stop the other server, or give this one its"):
        EdgeIndex(memory_path / "shard", DIMENSION, lock_wait_s=0.0)
    index.close()


def test_an_owner_that_lets_go_in_time_is_waited_for(memory_path):
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    threading.Timer(0.2, index.close).start()
    again = EdgeIndex(memory_path / "shard", DIMENSION, lock_wait_s=30.0)
    again.close()


def test_another_dimension_is_refused_with_what_to_do(memory_path):
    EdgeIndex(memory_path / "shard", DIMENSION).close()
    with pytest.raises(ConfigError, match="made with other vectors than 8 numbers each") as caught:
        EdgeIndex(memory_path / "shard", 8)
    assert "use the encoder it was made with, or another --state-dir" in str(caught.value)


def test_a_directory_that_cannot_be_made_is_a_clear_error(memory_path):
    (memory_path / "file").write_text("not a directory")
    with pytest.raises(ConfigError, match=r"cannot be made .*; check that it can be written"):
        EdgeIndex(memory_path / "file", DIMENSION)
    with pytest.raises(ConfigError, match=r"index directory .* cannot be made"):
        EdgeDirectory(memory_path / "file", REVISION, DIMENSION)


def test_files_that_cannot_be_read_are_told_from_other_errors(memory_path):
    EdgeIndex(memory_path / "shard", DIMENSION).close()
    (memory_path / "shard" / "edge_config.json").write_text("{")
    with pytest.raises(DamagedIndexError, match="cannot be read"):
        EdgeIndex(memory_path / "shard", DIMENSION)


def test_a_panic_of_the_engine_is_an_error_like_any_other(memory_path):
    index = EdgeIndex(memory_path / "shard", DIMENSION)

    class Panic(BaseException):
        pass

    def panicking(shard):
        raise Panic("the engine")

    with pytest.raises(ProductMatchError, match="search failed \\(the engine\\)"):
        index._call("search", panicking)
    with pytest.raises(KeyboardInterrupt):
        index._call("search", lambda shard: (_ for _ in ()).throw(KeyboardInterrupt))
    index.close()


def test_an_interrupt_while_opening_is_no_damage(memory_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(EdgeIndex, "_create", interrupted)
    with pytest.raises(KeyboardInterrupt):
        EdgeIndex(memory_path / "shard", DIMENSION)


def test_points_count_as_unindexed_until_the_graph_is_built(memory_path):
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    assert index.count_unindexed() == 0
    index.upsert(points(300))
    assert index.count_unindexed() == 300
    index.optimize()
    assert index.count_unindexed() == 0
    ((hit,),) = index.search([VectorQuery(vector_name="image", vector=unit_vector(5), limit=1)])
    assert hit.id == str(uuid.UUID(int=6))
    index.upsert(points(50, start=1000))
    assert index.count_unindexed() == 50
    index.close()


def test_further_photos_count_as_unindexed_until_the_graph_is_built(memory_path):
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    several = [
        dataclasses.replace(p, vectors={"image": np.stack([unit_vector(n) for n in range(5)])}) for p in points(300)
    ]
    index.upsert(several)
    assert index.count_unindexed() == 300
    index.optimize()
    assert index.count_unindexed() == 0
    index.close()


def test_a_shard_from_when_products_had_one_photo_goes_on_and_takes_several(memory_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(edge_index, "ENGINE_VECTOR_NAMES", VECTOR_NAMES)
        patch.setattr(edge_index, "edge_config", lambda dimension: ORIGINAL_CONFIG(dimension, VECTOR_NAMES))
        patch.setattr(EdgeIndex, "_count_with", lambda *_: 0)
        old = EdgeIndex(memory_path / "shard", DIMENSION)
        old.upsert(points(20))
        old.close()
    for attempt in range(2):
        index = EdgeIndex(memory_path / "shard", DIMENSION)
        (hits,) = index.search([VectorQuery(vector_name="image", vector=unit_vector(3), limit=1)])
        assert hits[0].id == str(uuid.UUID(int=4))
        if attempt == 0:
            photos = np.stack([unit_vector(n) for n in (100, 101)])
            index.upsert([dataclasses.replace(points(1, 50)[0], vectors={"image": photos})])
        (hits,) = index.search([VectorQuery(vector_name="image", vector=unit_vector(101), limit=1)])
        assert hits[0].id == str(uuid.UUID(int=51))
        index.close()


def test_a_shard_that_was_closed_in_order_is_trusted_once(directory):
    first = directory.open()
    assert not first.in_step
    first.index.close()
    directory.mark_clean()
    second = directory.open()
    assert second.in_step
    second.index.close()
    third = directory.open()
    assert not third.in_step
    third.index.close()


def test_a_rebuilt_shard_is_the_one_that_opens_and_the_others_are_removed(directory):
    opened = directory.open()
    fresh = EdgeIndex(directory.fresh(), DIMENSION)
    fresh.upsert(points(3))
    fresh.close()
    directory.switch(fresh.directory)
    opened.index.close()
    again = directory.open()
    assert again.index.count() == 3
    assert again.index.directory.name == "index-2"
    assert sorted(entry.name for entry in directory.path.iterdir()) == ["CURRENT", "index-2"]
    again.index.close()


def test_the_leftover_of_a_killed_rebuild_is_removed_and_its_number_not_used_again(directory):
    directory.open().index.close()
    (directory.fresh() / "half").mkdir(parents=True)
    (directory.path / "index-2.log").write_text("what it said")
    assert directory.fresh().name == "index-3"
    again = directory.open()
    assert sorted(entry.name for entry in directory.path.iterdir()) == ["CURRENT", "index-1"]
    again.index.close()


def test_a_damaged_shard_is_set_aside_and_an_empty_one_opens(directory, caplog):
    first = directory.open()
    first.index.upsert(points(3))
    first.index.close()
    directory.mark_clean()
    (first.index.directory / "edge_config.json").write_text("{")
    again = directory.open()
    assert again.index.count() == 0
    assert not again.in_step
    assert (directory.path / "damaged-1").exists()
    assert "the index is derived again from the documents" in caplog.text
    again.index.close()
    (again.index.directory / "edge_config.json").write_text("{")
    third = directory.open()
    assert [entry.name for entry in directory.path.glob("damaged-*")] == ["damaged-2"]
    third.index.close()


def test_a_shard_at_which_processes_die_is_set_aside(directory):
    first = directory.open()
    first.index.upsert(points(3))
    first.index.close()
    (directory.path / edge_directory.ATTEMPTS_FILE).write_text(str(edge_directory.MAX_ATTEMPTS))
    again = directory.open()
    assert again.index.count() == 0
    assert not (directory.path / edge_directory.ATTEMPTS_FILE).exists()
    again.index.close()


def test_an_attempt_counter_that_cannot_be_read_counts_nothing(directory):
    directory.open().index.close()
    (directory.path / edge_directory.ATTEMPTS_FILE).write_text("x")
    directory.open().index.close()
    assert not (directory.path / edge_directory.ATTEMPTS_FILE).exists()


def test_a_pointer_to_nothing_sensible_is_refused(directory):
    (directory.path / "CURRENT").write_text("../../etc\n")
    with pytest.raises(ConfigError, match=r"names '\.\./\.\./etc', expected index-<number>; delete the file"):
        directory.open()


def test_a_shard_whose_files_were_removed_is_made_anew(directory):
    first = directory.open()
    first.index.close()
    first.index.directory.rename(directory.path / "elsewhere")
    again = directory.open()
    assert again.index.count() == 0
    again.index.close()


def test_the_schema_of_every_filter_field_is_indexed(memory_path):
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    assert set(index._shard.info().payload_schema) == {"category", "color", "brand", "sku", "price"}
    index.close()


def test_an_index_is_swapped_while_searches_run(memory_path):
    old, new = EdgeIndex(memory_path / "old", DIMENSION), EdgeIndex(memory_path / "new", DIMENSION)
    old.upsert(points(20))
    new.upsert(points(20))
    index = SwappableIndex(old)
    stop, failures, answers = threading.Event(), [], []

    def searching():
        while not stop.is_set():
            try:
                answers.append(
                    len(index.search([VectorQuery(vector_name="image", vector=unit_vector(1), limit=5)])[0])
                )
            except ProductMatchError as error:
                failures.append(error)

    threads = [threading.Thread(target=searching) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        before = index.swap(new)
        assert before is old
        before.close()
        old, new = new, EdgeIndex(before.directory, DIMENSION)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(answers) == {5}
    index.close()
    new.close()


def test_a_swap_waits_for_the_calls_on_the_index_before():
    class Slow:
        def __init__(self):
            self.entered, self.leave, self.closed = threading.Event(), threading.Event(), False

        def count(self):
            self.entered.set()
            self.leave.wait(30)
            return -1 if self.closed else 1

    slow = Slow()
    index = SwappableIndex(slow)
    counted = []
    counting = threading.Thread(target=lambda: counted.append(index.count()))
    counting.start()
    assert slow.entered.wait(30)

    def swap_and_close():
        index.swap(Slow()).closed = True

    swapping = threading.Thread(target=swap_and_close)
    swapping.start()
    slow.leave.set()
    swapping.join()
    counting.join()
    assert counted == [1]


def test_the_engines_lock_message_is_still_the_one_that_is_looked_for(memory_path):
    """The engine raises bare exceptions: if its words change, this fails before an owner is taken for damage."""
    index = EdgeIndex(memory_path / "shard", DIMENSION)
    with pytest.raises(Exception, match=edge_index._LOCKED):
        qdrant_edge.EdgeShard.load(str(memory_path / "shard"), edge_index.edge_config(DIMENSION))
    index.close()
