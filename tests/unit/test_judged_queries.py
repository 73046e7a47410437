"""Judged queries, saved runs, and the figures that come of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from product_match.contract.errors import ConfigError
from product_match.evaluation.comparison import compared
from product_match.evaluation.judged_queries import JudgedQuery, Side, read_judged_queries
from product_match.evaluation.judged_report import (
    by_kind,
    by_side,
    confidence_report,
    false_match_report,
    judged,
    quality,
)
from product_match.evaluation.runs import FoundProduct, QueryAnswer, Run, read_run

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data" / "queries.jsonl"


def read(*values):
    return read_judged_queries([json.dumps(value) for value in values], "q.jsonl")


def test_the_samples_queries_are_read():
    queries = read_judged_queries(SAMPLE.read_text(encoding="utf-8").splitlines(), "queries.jsonl")
    kinds = {query.kind: query for query in queries}
    assert len(kinds) == 15
    assert (kinds["photo"].side, kinds["photo_and_words"].side) == (Side.PHOTO, Side.BOTH)
    assert (kinds["composed"].side, kinds["not_carried"].side) == (Side.COMPOSED, Side.WORDS)
    assert kinds["misspelt"].correct and not kinds["not_carried_photo"].carried
    assert [query.options["filter"] for query in queries if "filter" in query.options] == [{"price": {"lte": 20}}]


def test_a_query_is_known_by_what_it_asks():
    base = {"id": "1", "kind": "k", "text": "tee", "accept": {"a": 3}}
    same, other, filtered = read(
        {**base, "why": "looked at", "accept": {}},
        {**base, "id": "2", "text": "Tee"},
        {**base, "id": "3", "filter": {}},
    )
    assert same.digest == read(base)[0].digest
    assert len({same.digest, other.digest, filtered.digest}) == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", r"q\.jsonl, line 2: Expecting property name"),
        ("[]", "line 2: a query is a JSON object, got list"),
        ('{"kind": "k", "text": "a", "accept": {}}', "line 2: a query needs `id`, a text that is not empty"),
        ('{"id": 7, "kind": "k", "text": "a", "accept": {}}', "`id` is a text, got 7"),
        ('{"id": "2", "text": "a", "accept": {}}', "a query needs `kind`, a text that is not empty"),
        ('{"id": "2", "kind": "k", "accept": {}}', "needs `text`, `image` or `like`, got none of them"),
        ('{"id": "2", "kind": "k", "text": "a"}', "needs `accept`: a grade for each product id, or {} if it is not"),
        ('{"id": "2", "kind": "k", "text": "a", "accept": ["1"]}', r'such as {"1042": 3}, got \["1"\]'),
        ('{"id": "2", "kind": "k", "text": "a", "accept": {"1": 4}}', "the grade of '1' is 1, 2 or 3, got 4"),
        ('{"id": "2", "kind": "k", "text": "a", "accept": {"1": true}}', "the grade of '1' is 1, 2 or 3, got true"),
        ('{"id": "2", "kind": "k", "like": [], "accept": {}}', r"`like` is a list of product ids, got \[\]"),
        ('{"id": "2", "kind": "k", "text": "a", "unlike": "1", "accept": {}}', "`unlike` is a list of product ids"),
        ('{"id": "2", "kind": "k", "text": "a", "filter": "x", "accept": {}}', '`filter` is a JSON object, got "x"'),
        (
            '{"id": "1", "kind": "k", "text": "a", "accept": {}}',
            "a second query has the id '1'; give each query an id",
        ),
    ],
)
def test_a_line_that_is_no_query_is_told(line, words):
    first = '{"id": "1", "kind": "k", "text": "a", "accept": {}}'
    with pytest.raises(ConfigError, match=words):
        read_judged_queries([first, line], "q.jsonl")


def test_a_file_without_queries_is_told():
    with pytest.raises(ConfigError, match=r"q\.jsonl holds no query; expected one JSON object a line"):
        read_judged_queries(["", " \n"], "q.jsonl")


def query(number, kind, **fields):
    accept = fields.pop("accept", {"right": 3})
    return JudgedQuery(
        id=f"q{number}", kind=kind, text=fields.pop("text", f"words {number}"), accept=accept, **fields
    )


def answer(*ids, confidence=None, outcome=None, **fields):
    """Scores fall by a tenth from 1; the confidence is that of the first match."""
    found = (
        FoundProduct(product_id=product_id, score=1 - place / 10, confidence=None if place else confidence)
        for place, product_id in enumerate(ids)
    )
    return QueryAnswer(found=tuple(found), outcome=outcome, **fields)


def run_of(queries, answers, **fields):
    return Run(
        encoder="fake@1",
        options={},
        depth=fields.pop("depth", 10),
        answers={query.id: answer for query, answer in zip(queries, answers, strict=True)},
        digests={query.id: query.digest for query in queries},
    )


QUERIES = [
    query(1, "type"),
    query(2, "type", accept={"right": 3, "other": 1}),
    query(3, "photo", text="", image="a.jpg"),
    query(4, "photo and change", image="a.jpg"),
    query(5, "not carried", accept={}),
    query(6, "not carried", accept={}),
    query(7, "not carried photo", text="", image="b.jpg", accept={}),
]
ANSWERS = [
    answer("right", confidence=0.9, outcome="matched"),
    answer("wrong", "other", confidence=0.4, outcome="weak", repaired={"wrods": "words"}),
    answer("right", "wrong", confidence=0.8, outcome="matched"),
    answer(refused="too short"),
    answer("wrong", confidence=0.6, outcome="matched"),
    answer(outcome="not_stocked"),
    answer("wrong", confidence=0.85, outcome="matched"),
]
RUN = run_of(QUERIES, ANSWERS)


def test_queries_are_measured_by_kind_and_by_what_they_are_made_of():
    rows = judged(QUERIES, RUN)
    kinds = {kind: quality(part, 10) for kind, part in by_kind(rows).items()}
    assert list(kinds) == ["type", "photo", "photo and change", "not carried", "not carried photo"]
    assert kinds["type"]["hit@1"]["mean"] == 0.5
    assert kinds["type"]["mrr"]["mean"] == 0.75
    assert kinds["type"]["recall@10"]["mean"] == 0.75
    assert kinds["type"]["ndcg@10"]["mean"] == pytest.approx((1 + (1 / 1.58496) / (7 + 1 / 1.58496)) / 2, abs=1e-4)
    assert kinds["type"]["outcomes"] == {"matched": 1, "weak": 1}
    assert kinds["type"]["matched"]["mean"] == 0.5
    assert "false_matches" not in kinds["type"]
    assert (kinds["type"]["repaired"], kinds["type"]["refused"]) == (1, 0)
    assert (kinds["photo and change"]["refused"], kinds["photo and change"]["hit@1"]["mean"]) == (1, 0.0)
    assert "matched" not in kinds["photo and change"]
    assert kinds["not carried"]["false_matches"]["mean"] == 0.5
    assert "hit@1" not in kinds["not carried"]
    sides = {side: quality(part, 10) for side, part in by_side(rows).items()}
    assert {side: (part["queries"], part["carried"]) for side, part in sides.items()} == {
        "words": (4, 2),
        "photo": (2, 1),
        "photo and words": (1, 1),
        "all": (7, 4),
    }
    assert sides["all"]["hit@1"]["mean"] == 0.5


def test_confidence_is_judged_by_first_matches():
    report = confidence_report(judged(QUERIES, RUN))
    assert report["answers"] == 5
    assert report["accepted"] == 0.4
    assert report["mean_confidence"] == pytest.approx((0.9 + 0.4 + 0.8 + 0.6 + 0.85) / 5)
    # Bins from 0.4, 0.6, 0.8 (two answers) and 0.9.
    expected = (0.4 + 0.6 + 2 * abs(0.5 - 0.825) + 0.1) / 5
    assert report["expected_calibration_error"]["value"] == pytest.approx(expected)
    assert report["expected_calibration_error"]["low"] <= expected <= report["expected_calibration_error"]["high"]
    assert sum(part["count"] for part in report["bins"]) == 5


def test_a_server_that_says_nothing_of_confidence_is_not_judged_by_it():
    plain = run_of(QUERIES[:2], [answer("right"), answer("wrong")])
    assert confidence_report(judged(QUERIES, plain)) is None
    assert quality(judged(QUERIES, plain), 10)["outcomes"] == {}
    assert false_match_report(judged(QUERIES, plain), []) is None


def test_false_matches_are_weighed_for_each_signal():
    rows = judged(QUERIES, RUN)
    vectors = run_of(QUERIES, [answer("right")] * 4 + [answer("wrong"), answer(), answer()])
    report = false_match_report(rows, judged(QUERIES, vectors))
    assert report["not_carried"] == pytest.approx(3 / 7, abs=1e-4)
    kept = {name: signal["at_90_percent_of_hits"] for name, signal in report["signals"].items()}
    assert kept["confidence"]["threshold"] == 0.8
    assert kept["confidence"]["hits"] == 0.5
    assert kept["confidence"]["false_matches"] == pytest.approx(1 / 3, abs=1e-4)
    assert kept["confidence"]["precision"] == pytest.approx(2 / 3, abs=1e-4)
    assert kept["confidence"]["precision_if_0.95_not_carried"] < 0.1
    assert kept["confidence"]["false_matches_low"] <= 1 / 3 <= kept["confidence"]["false_matches_high"]
    assert (kept["score"]["threshold"], kept["score"]["false_matches"]) == (1.0, pytest.approx(2 / 3, abs=1e-4))
    assert (kept["vector_score"]["hits"], kept["vector_score"]["false_matches"]) == (
        1.0,
        pytest.approx(1 / 3, abs=1e-4),
    )
    assert report["outcome"]["hits_kept"] == 1.0
    assert report["outcome"]["false_matches"] == pytest.approx(2 / 3, abs=1e-4)
    assert report["signals"]["confidence"]["curve"][-1]["false_matches"] == pytest.approx(2 / 3, abs=1e-4)


def test_signals_without_a_hit_have_no_curve():
    never = run_of(QUERIES, [answer("wrong")] * len(QUERIES))
    assert false_match_report(judged(QUERIES, never), [])["signals"] == {}


def test_runs_are_compared_query_by_query():
    there = run_of(
        QUERIES, [answer("wrong", outcome="matched")] * 2 + ANSWERS[2:5] + [answer("x", outcome="matched")] * 2
    )
    changed = Run(
        encoder="fake@0",
        options={},
        depth=5,
        answers=there.answers,
        digests={**there.digests, "q3": "another question"},
    )
    report = compared(QUERIES, RUN, changed)
    assert (report["compared"], report["left_out"]) == (6, ["q3"])
    assert "photo" not in report["kinds"]
    kind = report["kinds"]["type"]
    assert kind["hit@1"]["here"] == 0.5
    assert kind["hit@1"]["there"] == 0.0
    assert kind["hit@1"]["difference"] == {"mean": 0.5, "low": 0.0, "high": 1.0, "count": 2}
    assert "recall@5" in kind
    assert (kind["better"], kind["worse"], kind["equal"]) == (2, 0, 0)
    assert report["kinds"]["not carried"]["false_matches"]["difference"]["mean"] == -0.5
    assert report["sides"]["all"]["queries"] == 6


def test_a_run_against_itself_differs_by_nothing():
    report = compared(QUERIES, RUN, RUN)
    assert report["left_out"] == []
    for part in report["sides"].values():
        assert {part[name]["difference"]["high"] for name in part if isinstance(part[name], dict)} == {0.0}


def test_a_saved_run_is_read_as_it_was():
    assert read_run(json.dumps(RUN.as_json()), "a.json") == RUN


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 9}', json.dumps({**RUN.as_json(), "queries": {"q1": {"digest": "x"}}})]
)
def test_what_is_no_saved_run_is_told(text):
    with pytest.raises(
        ConfigError, match=r"a\.json is no saved run \(.*make one with `product-match evaluate --quer"
    ):
        read_run(text, "a.json")
