"""What is known of a catalogue: counted in one walk, kept in the document store, added to, counted anew."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import pytest

from product_match.contract.errors import CancelledError, ConfigError, UnavailableError
from product_match.documents.leases import Lease
from product_match.documents.removal import remove_products
from product_match.documents.statistics import (
    changed_since,
    keep_statistics,
    prepare_following,
    read_statistics,
)
from product_match.documents.store import now, open_documents
from product_match.host.polling import wait_until
from product_match.statistics import counting, keeping
from product_match.statistics.catalogue import FORMAT, CatalogueStatistics
from product_match.statistics.counting import count_catalogue
from product_match.statistics.keeping import CHANGED_SHARE, StatisticsKeeper
from product_match.statistics.logistic import LogisticMap
from product_match.statistics.similarity import LEAST_EXAMPLES
from product_match.words.analysis import Analyser
from tests.fakes.catalogues import DIMENSION, points, product_write, unit_vector, write_all
from tests.fakes.encoders import encoder_spec

ANALYSER = Analyser()


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, encoder_spec().identity)
    yield opened
    opened.close()


@pytest.fixture
def drawn(monkeypatch):
    """The vectors that each count fits on."""
    seen = []
    original = counting.fit_similarity

    def noted(vectors, groups):
        seen.append(vectors)
        return original(vectors, groups)

    monkeypatch.setattr(counting, "fit_similarity", noted)
    return seen


def counted(documents, version=1):
    return count_catalogue(documents, DIMENSION, ANALYSER, version, threading.Event())


def test_every_product_is_counted_and_its_photos_are_drawn(documents, drawn):
    writes = [product_write(n, photos=1 + n % 2) for n in range(12)]
    write_all(documents, *writes, product_write(20, image=False), product_write(21, text=False))
    remove_products(documents, ["p3"])
    found = counted(documents, version=7)
    assert (found.products, found.version, found.vocabulary.products) == (13, 7, 13)
    assert found.vocabulary.frequency("product") == 13
    assert found.vocabulary.frequency("3") == 0
    # The first photo of each product stands for it.
    expected = [unit_vector(n) for n in (*range(3), *range(4, 12), 21)]
    assert sorted(map(tuple, drawn[0])) == sorted(map(tuple, np.stack(expected)))
    assert found.image_fit is None


def test_a_catalogue_of_some_size_teaches_what_its_photos_similarity_means(documents):
    write_all(documents, *(product_write(n) for n in range(LEAST_EXAMPLES)))
    assert counted(documents).image_fit is not None


def test_an_empty_catalogue_has_nothing(documents):
    found = counted(documents)
    assert (found.products, found.image_fit, found.vocabulary.average_length) == (0, None, None)


def test_of_many_products_each_is_drawn_with_the_same_chance(documents, drawn, monkeypatch):
    monkeypatch.setattr(counting, "DRAWN", 10)
    monkeypatch.setattr(counting, "PAGE_SIZE", 16)
    write_all(documents, *(product_write(n) for n in range(60)))
    times = dict.fromkeys(range(60), 0)
    rows = {tuple(unit_vector(n)): n for n in range(60)}
    for seed in range(40):
        monkeypatch.setattr(counting, "_SEED", seed)
        counted(documents)
        assert len({tuple(row) for row in drawn[-1]}) == 10
        for row in drawn[-1]:
            times[rows[tuple(row)]] += 1
    assert sum(times.values()) == 400
    # 40 draws of a chance of a sixth: 6.7 on average, and beyond 20 never.
    assert max(times.values()) <= 20
    assert sum(count > 0 for count in times.values()) >= 55


def test_counting_stops_when_the_server_does(documents):
    write_all(documents, product_write(1))
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError, match="the server is stopping"):
        count_catalogue(documents, DIMENSION, ANALYSER, 1, cancelled)


STATISTICS = CatalogueStatistics(
    image_fit=LogisticMap((2.0,), -1.0),
    products=2,
    version=3,
)
STATISTICS.vocabulary.add(ANALYSER, [{"name": "Red shoes"}, {"name": "Shoes"}])


def test_statistics_are_kept_whole_for_the_encoder_that_serves(documents, catalogue_settings):
    assert read_statistics(documents) is None
    keep_statistics(documents, STATISTICS.to_document())
    found = CatalogueStatistics.from_document(read_statistics(documents))
    assert (found.products, found.version, found.image_fit) == (2, 3, STATISTICS.image_fit)
    assert found.vocabulary.frequency("shoe") == 2
    assert read_statistics(documents, {"version": 1}) == {"_id": f"statistics_{documents.name}", "version": 3}
    documents.meta.update_one({"_id": f"statistics_{documents.name}"}, {"$set": {"encoder": "other@1"}})
    assert read_statistics(documents) is None


def test_statistics_without_a_fit_are_kept_too():
    document = CatalogueStatistics().to_document()
    assert CatalogueStatistics.from_document(document).image_fit is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": FORMAT + 1}, f"have the format {FORMAT + 1}, and this version writes {FORMAT}; they are counted"),
        ({"format": None}, "have the format None"),
        ({"products": "many"}, "cannot be read (ValueError"),
        ({"image_fit": 3}, "cannot be read (TypeError"),
        ({"vocabulary": b"?"}, "the catalogue's vocabulary cannot be read"),
    ],
)
def test_statistics_that_are_damaged_or_of_another_version_are_refused(change, words):
    with pytest.raises(ConfigError) as caught:
        CatalogueStatistics.from_document({**STATISTICS.to_document(), **change})
    assert words in str(caught.value)


def test_statistics_that_lack_something_are_refused():
    document = STATISTICS.to_document()
    del document["vocabulary"]
    with pytest.raises(ConfigError, match=r"cannot be read \(KeyError\('vocabulary'\)\); they are counted anew"):
        CatalogueStatistics.from_document(document)


def test_what_changed_since_a_moment_comes_in_order_with_tombstones(documents):
    prepare_following(documents)
    write_all(documents, product_write(1))
    moment = now()
    write_all(documents, product_write(2))
    write_all(documents, product_write(3))
    remove_products(documents, ["p2"])
    changed = changed_since(documents, moment)
    assert [document["_id"] for document in changed] == points(3, 2)
    assert [bool(document.get("deleted")) for document in changed] == [False, True]
    assert changed_since(documents, changed[-1]["updated_at"]) == []


@pytest.fixture
def keepers(documents):
    made = []

    def make(**options):
        made.append(StatisticsKeeper(documents, DIMENSION, ANALYSER, **options))
        return made[-1]

    yield make
    for keeper in made:
        keeper.close()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(keeping, "CHECK_S", 0.02)
    monkeypatch.setattr(keeping, "QUIET_S", 0.05)
    monkeypatch.setattr(keeping, "RETRY_S", 0.05)


def soon(condition):
    assert wait_until(condition, 20.0, poll_s=0.02)


def test_a_catalogue_that_was_never_counted_is_counted_at_once_and_kept(documents, keepers, quick):
    write_all(documents, *(product_write(n) for n in range(5)))
    seen = []
    keeper = keepers(changed=seen.append)
    assert keeper.current.version == 0
    assert keeper.due
    keeper.start()
    soon(lambda: keeper.current.version == 1)
    soon(lambda: seen == [keeper.current])
    assert keeper.current.products == 5
    assert not keeper.due
    again = keepers()
    assert (again.current.version, again.current.products) == (1, 5)
    assert again.current.vocabulary.frequency("product") == 5


def test_new_products_words_are_known_at_once(documents, keepers):
    keeper = keepers()
    keeper.refresh()
    keeper.applied([{"_id": "1", "product": {"name": "Zorbly lamp"}}, {"_id": "2", "deleted": True}, {"_id": "3"}])
    assert keeper.current.vocabulary.frequency("lamp") == 1
    assert keeper.current.vocabulary.products == 1


def test_much_change_counts_the_whole_anew_once_it_is_quiet(documents, keepers, monkeypatch):
    write_all(documents, *(product_write(n) for n in range(20)))
    keeper = keepers()
    keeper.refresh()
    few = int(CHANGED_SHARE * 20)
    keeper.applied([{"_id": str(n), "deleted": True} for n in range(few)])
    monkeypatch.setattr(keeping, "QUIET_S", 0.0)
    assert not keeper.due
    keeper.applied([{"_id": "x", "deleted": True}])
    assert keeper.due
    monkeypatch.setattr(keeping, "QUIET_S", 60.0)
    assert not keeper.due
    keeper.count_again()
    assert keeper.due
    keeper.refresh()
    monkeypatch.setattr(keeping, "QUIET_S", 0.0)
    assert not keeper.due


def test_what_changes_while_the_whole_is_counted_counts_towards_the_next_time(documents, keepers, monkeypatch):
    write_all(documents, *(product_write(n) for n in range(5)))
    keeper = keepers()
    original = keeping.count_catalogue

    def meanwhile(*arguments):
        keeper.applied([{"_id": str(n), "deleted": True} for n in range(3)])
        return original(*arguments)

    monkeypatch.setattr(keeping, "count_catalogue", meanwhile)
    monkeypatch.setattr(keeping, "QUIET_S", 0.0)
    keeper.refresh()
    assert keeper.due


def test_damaged_statistics_are_told_and_counted_anew(documents, keepers, quick, caplog):
    keep_statistics(documents, {**STATISTICS.to_document(), "vocabulary": b"?"})
    with caplog.at_level(logging.WARNING):
        keeper = keepers()
    assert "the catalogue's vocabulary cannot be read" in caplog.text
    assert keeper.current.version == 0
    keeper.start()
    soon(lambda: keeper.current.version == 1)
    assert CatalogueStatistics.from_document(read_statistics(documents)).version == 1


def test_a_store_that_is_away_is_tried_again(documents, keepers, quick, monkeypatch, caplog):
    original, failures = keeping.count_catalogue, iter([UnavailableError("the store is away")])

    def at_first_away(*arguments):
        for failure in failures:
            raise failure
        return original(*arguments)

    monkeypatch.setattr(keeping, "count_catalogue", at_first_away)
    keeper = keepers()
    with caplog.at_level(logging.WARNING):
        keeper.start()
        soon(lambda: keeper.current.version == 1)
    assert "could not be counted: the store is away; it is tried again" in caplog.text


def test_closing_ends_a_count_that_is_under_way(documents, keepers, quick, monkeypatch):
    write_all(documents, *(product_write(n) for n in range(5)))
    began = threading.Event()

    def slow(documents, dimension, analyser, version, cancelled):
        began.set()
        assert cancelled.wait(20)
        raise CancelledError("the server is stopping")

    monkeypatch.setattr(keeping, "count_catalogue", slow)
    keeper = keepers()
    keeper.start()
    assert began.wait(20)
    started = time.monotonic()
    monkeypatch.setattr(keeping, "RETRY_S", 20.0)
    keeper.close()
    assert time.monotonic() - started < 15
    assert not keeper._thread.is_alive()
    assert read_statistics(documents) is None


def test_of_several_processes_one_counts_and_the_others_follow_what_it_keeps_and_what_is_written(
    documents, keepers, quick, monkeypatch
):
    prepare_following(documents)
    write_all(documents, product_write(1))
    counts = []
    original = keeping.count_catalogue
    monkeypatch.setattr(
        keeping, "count_catalogue", lambda *arguments: counts.append(arguments[3]) or original(*arguments)
    )
    pair = [keepers(lease=Lease(documents.meta, "statistics")) for _ in range(2)]
    for keeper in pair:
        keeper.start()
    soon(lambda: all(keeper.current.version == 1 for keeper in pair))
    assert counts == [1]
    monkeypatch.setattr(keeping, "QUIET_S", 60.0)
    write_all(documents, product_write(2, name="Zorbly lamp"))
    soon(lambda: all(keeper.current.vocabulary.frequency("lamp") == 1 for keeper in pair))
    assert counts == [1]
