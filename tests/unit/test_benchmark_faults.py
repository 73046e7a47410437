"""The fault table: its schedule, its comparison and its rendering."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

from benchmarks.faults.__main__ import read_trials
from benchmarks.faults.comparison import Snapshot, by_product, check_summary, compare, document_difference
from benchmarks.faults.products import make_products, write_products
from benchmarks.faults.report import as_json, rows, table
from benchmarks.faults.schedule import LONGEST_DELAY_S, Fault, FaultKind, schedule
from benchmarks.faults.trial import Trial
from product_match.contract.errors import ConfigError

IDS = ("a", "b", "c")


def vector(*numbers):
    return np.asarray(numbers, "<f4").tobytes()


def document(product_id, **changes):
    return {
        "_id": f"point-{product_id}",
        "product_id": product_id,
        "product": {"id": product_id, "price": 3},
        "content_hash": "0a",
        "encoder": "tiny@1",
        "vectors": ["image"],
        "image_embeds": vector(1, 0),
        "rev": 1,
        **changes,
    }


def snapshot(documents=None, **changes):
    documents = [document(product_id) for product_id in IDS] if documents is None else documents
    whole = {
        "documents": by_product(documents, "product_id"),
        "exported": by_product([{"id": product_id} for product_id in IDS], "id"),
        "count": len(IDS),
        "verify": {"in_step": True, "vectors": len(IDS)},
        "answers": {product_id: product_id for product_id in IDS},
        "photos": frozenset({"p1", "p2"}),
    }
    return Snapshot(**{**whole, **changes})


def found(**changes):
    differences = compare(snapshot(), snapshot(**changes))
    numbers = (differences.lost, differences.duplicated, differences.pending, differences.wrong)
    assert differences.none == (numbers == (0, 0, 0, 0))
    return numbers


def test_the_same_seed_gives_the_same_moments_and_another_gives_others():
    first = schedule(list(FaultKind), runs=5, products=90, seed=1)
    assert first == schedule(list(FaultKind), runs=5, products=90, seed=1)
    assert first != schedule(list(FaultKind), runs=5, products=90, seed=2)


def test_a_row_by_itself_has_the_moments_it_has_in_the_whole_table():
    whole = schedule(list(FaultKind), runs=4, products=50, seed=3)
    alone = schedule([FaultKind.OWNER], runs=4, products=50, seed=3)
    assert alone == [fault for fault in whole if fault.kind is FaultKind.OWNER]


def test_every_part_of_the_load_gets_one_kill():
    faults = schedule([FaultKind.CLIENT], runs=20, products=100, seed=7)
    assert sorted(fault.after_products // 5 for fault in faults) == list(range(20))
    assert [fault.run for fault in faults] == list(range(20))
    assert all(0 <= fault.delay_s <= LONGEST_DELAY_S for fault in faults)


@pytest.mark.parametrize(("runs", "products"), [(0, 10), (3, 0)])
def test_a_schedule_of_nothing_is_refused(runs, products):
    with pytest.raises(ConfigError, match=f"at least one run and one product, got {runs} and {products}"):
        schedule([FaultKind.CLIENT], runs=runs, products=products, seed=1)


def test_a_kill_before_the_start_is_refused():
    with pytest.raises(ConfigError, match="0 or more products and seconds, got -1 products"):
        Fault(kind=FaultKind.CLIENT, run=0, after_products=-1, delay_s=0.0)


def test_only_asking_to_stop_and_holding_are_not_kills():
    assert {kind for kind in FaultKind if kind.signal is not signal.SIGKILL} == {FaultKind.TERMINATE, FaultKind.HOLD}


def test_an_equal_catalogue_has_no_difference():
    assert found() == (0, 0, 0, 0)


def test_a_missing_document_is_lost():
    assert found(documents=[document("a"), document("b")]) == (1, 0, 0, 0)


def test_a_second_document_of_a_product_is_a_duplicate():
    documents = [*(document(product_id) for product_id in IDS), document("b", _id="other")]
    assert found(documents=documents) == (0, 1, 0, 0)


def test_a_document_of_no_product_is_a_duplicate():
    assert found(documents=[*(document(product_id) for product_id in IDS), document("x")]) == (0, 1, 0, 0)


def test_a_pending_document_is_pending():
    assert found(documents=[document("a", pending=True), document("b"), document("c")]) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rev": 2}, "rev is 2, not 1"),
        ({"product": {"id": "a"}}, "product is {'id': 'a'}, not {'id': 'a', 'price': 3}"),
        ({"deleted": True}, "deleted is True, not None"),
        ({"image_embeds": vector(0.9, 0.4)}, "image_embeds has a cosine of 0.913812 with what it should be"),
        ({"image_embeds": vector(1, 0, 0)}, "image_embeds has a cosine of -1.000000"),
        ({"text_embeds": vector(1, 0)}, "text_embeds is too many"),
    ],
)
def test_a_document_that_differs_is_wrong_and_says_how(changes, words):
    changed = document("a", **changes)
    assert words in document_difference(document("a"), changed)
    assert found(documents=[changed, document("b"), document("c")]) == (0, 0, 0, 1)


def test_a_document_without_its_embedding_is_wrong():
    bare = document("a")
    del bare["image_embeds"]
    assert document_difference(document("a"), bare) == "image_embeds is missing"


def test_the_last_digits_of_an_embedding_may_differ():
    assert document_difference(document("a"), document("a", image_embeds=vector(1, 1e-4))) == ""


def test_an_export_is_compared_line_by_line():
    assert found(exported=by_product([{"id": "a"}, {"id": "b"}], "id")) == (1, 0, 0, 0)
    twice = by_product([{"id": "a"}, {"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "x"}], "id")
    assert found(exported=twice) == (0, 2, 0, 0)
    changed = by_product([{"id": "a", "price": 1}, {"id": "b"}, {"id": "c"}], "id")
    assert found(exported=changed) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"count": 2}, (1, 0, 0, 0)),
        ({"count": 5}, (0, 2, 0, 0)),
        ({"verify": {"in_step": True, "vectors": 4}}, (0, 1, 0, 0)),
        ({"verify": {"in_step": True, "vectors": 1}}, (2, 0, 0, 0)),
        ({"verify": {"in_step": False, "vectors": 3, "missing": 2}}, (2, 0, 0, 1)),
        ({"verify": {"in_step": False, "vectors": 3, "orphaned": 1, "wrong_rev": 1}}, (0, 1, 0, 2)),
        ({"verify": {"in_step": True, "vectors": 3, "pending": 3}}, (0, 0, 3, 0)),
        ({"answers": {"a": "a", "b": "c", "c": "c"}}, (0, 0, 0, 1)),
        ({"photos": frozenset({"p1"})}, (1, 0, 0, 0)),
    ],
)
def test_what_the_server_says_counts_too(changes, numbers):
    assert found(**changes) == numbers


def test_examples_are_few_and_say_what_was_found():
    differences = compare(snapshot(), snapshot(documents=[]))
    assert differences.lost == 3
    assert differences.examples == [f"lost: no document of {product_id}" for product_id in IDS]


@pytest.mark.parametrize(
    ("summary", "numbers"),
    [
        ({"unchanged": 3}, (0, 0)),
        ({"created": 1, "unchanged": 2}, (1, 0)),
        ({"updated": 1, "unchanged": 2}, (0, 1)),
        ({"rejected": 1, "unchanged": 2}, (0, 1)),
        ({"unchanged": 1}, (0, 2)),
    ],
)
def test_the_same_command_once_more_has_to_find_everything_unchanged(summary, numbers):
    differences = compare(snapshot(), snapshot())
    check_summary(summary, 3, differences)
    assert (differences.lost, differences.wrong) == numbers


def trial(kind, run, **fields):
    return Trial(fault=Fault(kind=kind, run=run, after_products=0, delay_s=0.0), **fields)


def test_the_table_has_one_row_for_each_kind_that_was_run():
    bad = trial(FaultKind.OWNER, 0, stored=4, failure="it did not start")
    bad.differences.note("lost", 2, "no document of a")
    trials = [
        trial(FaultKind.CLIENT, 0, stored=10, loading=True, whole_s=1.0),
        trial(FaultKind.CLIENT, 1, stored=90, whole_s=3.0),
        bad,
    ]
    client, owner = rows(trials)
    assert client[:6] == ["the loading client", "SIGKILL", "2", "10 to 90", "1 of 2", "`index` again"]
    assert client[6:] == ["0", "0", "0", "0", "0", "2.0 (3.0)"]
    assert owner[:5] == ["the owner of the vector index (`retrieval`)", "SIGKILL", "1", "4 to 4", "0 of 1"]
    assert owner[5:] == ["nothing", "2", "0", "0", "0", "1", "never"]
    lines = table(trials).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {13}


def test_the_json_holds_every_run_and_says_whether_all_are_clean():
    report = json.loads(json.dumps(as_json([trial(FaultKind.SERVE, 0, serve_exit=-9)], seed=1)))
    assert report["clean"] is True
    assert report["seed"] == 1
    assert report["runs"][0]["fault"] == {"kind": "serve", "run": 0, "after_products": 0, "delay_s": 0.0}
    assert as_json([trial(FaultKind.SERVE, 0, failure="no end")])["clean"] is False


def test_a_table_goes_on_with_the_runs_of_its_own_schedule(tmp_path):
    faults = schedule([FaultKind.CLIENT], runs=2, products=10, seed=1)
    others = schedule([FaultKind.CLIENT], runs=2, products=10, seed=2)
    first, other = Trial(fault=faults[0], stored=3, whole_s=1.5), Trial(fault=others[0])
    first.differences.note("wrong", 1, "the price")
    path = tmp_path / "faults.json"
    path.write_text(json.dumps(as_json([first, other])))
    assert read_trials(path, faults) == [first]


def test_a_table_that_was_never_begun_is_not_gone_on_with(tmp_path):
    with pytest.raises(ConfigError, match=r"faults\.json is not there; leave --resume out"):
        read_trials(tmp_path / "faults.json", [])


def test_a_small_catalogue_has_its_own_ids_and_a_photo_for_each_product(tmp_path):
    products = make_products(60)
    assert len({product["id"] for product in products}) == 60
    assert len({product["image"] for product in products}) == 60
    write_products(products, tmp_path / "products.jsonl")
    lines = (tmp_path / "products.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == products


def test_a_catalogue_larger_than_the_sample_is_refused():
    with pytest.raises(ConfigError, match="products can be made of the sample, not of 9999"):
        make_products(9999)
