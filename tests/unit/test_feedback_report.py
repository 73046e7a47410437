"""Figures of feedback are counted by hand here, from a dozen answers."""

from __future__ import annotations

import json
import math

import pytest

from product_match.contract.errors import ConfigError
from product_match.evaluation.feedback_queries import grade_of, judged_from_feedback, mean_grade
from product_match.evaluation.feedback_report import Said, feedback_report, joined, query_name, wilson
from product_match.evaluation.judged_queries import read_judged_queries
from product_match.evaluation.plots import plot_feedback


def answer(name, words="", results="ab", **fields):
    plain = {"kind": "words", "outcome": "matched", "encoder": "demo@1", "options": {}}
    held = [{"id": id_, "score": 1.0, "confidence": 0.9} for id_ in results]
    return {"id": name, "type": "answer", "results": held, **({"words": words} if words else {}), **plain, **fields}


def said(name, product_id, what, rank=1, **fields):
    rated = isinstance(what, int)
    plain = {"kind": "words", "outcome": "matched", "encoder": "demo@1", "rank": rank}
    event = {"event": "rating", "rating": what} if rated else {"event": what}
    return {"answer": name, "product_id": product_id, **plain, **event, **fields}


def report(events, feedback, errors=(), most=9):
    return feedback_report(joined(events, feedback), errors, most)


def test_clicks_are_counted_by_rank_of_what_the_shop_has_shown():
    events = [answer(name) for name in "1234"]
    feedback = [
        *(said(name, product, "shown", rank) for name in "123" for rank, product in enumerate("ab", start=1)),
        said("1", "a", "click"),
        said("1", "a", "purchase"),
        said("2", "b", "basket", 2),
        said("3", "a", "wrong"),
        said("3", "a", 2),
        said("1", "a", 9),
    ]
    found = report(events, feedback)
    assert (found["answers"], found["answers_with_feedback"], found["shown"]) == (4, 3, "told")
    first, second = found["by"]["rank"]["1"], found["by"]["rank"]["2"]
    assert (first["shown"], first["clicked"], first["click_rate"]) == (3, 1, 0.3333)
    assert (first["purchase"], first["wrong"], first["ratings"], first["mean_rating"]) == (1, 1, 2, 5.5)
    assert (second["shown"], second["clicked"], second["basket"], second["mean_rating"]) == (3, 1, 1, None)
    # Of whole answers: two of three that were shown were clicked. The fourth was never shown.
    assert found["by"]["kind"]["words"]["click_rate"] == 0.6667
    assert found["by"]["encoder"]["demo@1"]["shown"] == 3


def test_where_nothing_is_told_to_be_shown_every_match_counts():
    events = [answer("1", results="abc"), answer("2", results="ab", options={"offset": 2})]
    found = report(events, [said("1", "b", "click", 2)])
    assert found["shown"] == "every match of an answer"
    assert {rank: entry["shown"] for rank, entry in found["by"]["rank"].items()} == {"1": 1, "2": 1, "3": 2, "4": 1}
    assert found["by"]["rank"]["2"]["click_rate"] == 1.0
    assert found["by"]["outcome"]["matched"]["click_rate"] == 0.5


def test_feedback_is_counted_without_an_event_log():
    feedback = [said("1", "a", "click", kind="photo", outcome="weak", encoder="b@2"), said("1", "b", 3, 12)]
    found = report([], feedback)
    assert found["answers"] == found["answers_with_feedback"] == 1
    assert found["by"]["kind"]["photo"]["clicked"] == found["by"]["outcome"]["weak"]["clicked"] == 1
    assert list(found["by"]["rank"]) == ["1", "11 and more"]
    assert found["by"]["encoder"].keys() == {"b@2"}
    assert found["end_badly"] == []


def test_ranks_stand_in_their_order():
    events = [answer("1", results="abcdefghijkl")]
    assert list(report(events, [])["by"]["rank"]) == [*map(str, range(1, 11)), "11 and more"]


def test_queries_that_end_badly_are_named_the_worst_first():
    events = [
        *(answer(f"r{n}", "Red  Shoe") for n in range(3)),
        *(answer(f"s{n}", "sofa", outcome="weak") for n in range(4)),
        *(answer(f"h{n}", "hat") for n in range(2)),
        *(answer(f"c{n}", "cap") for n in range(3)),
        answer("p", kind="photo"),
    ]
    feedback = [
        said("r0", "a", "wrong"),
        said("r1", "a", 4),
        said("r2", "a", 3),
        said("r2", "b", "click", 2),  # one product was wrong, another right
        said("h0", "a", "wrong"),
        said("c0", "a", "click"),
        said("p", "a", "wrong"),
    ]
    found = report(events, feedback)["end_badly"]
    assert [(one["query"], one["answers"], one["bad"], one["unclicked"]) for one in found] == [
        ("red shoe", 3, 2, 2),
        ("hat", 2, 1, 2),
        ("sofa", 4, 0, 4),
    ]
    assert (found[0]["mean_rating"], found[0]["outcome"], found[2]["outcome"]) == (3.5, "matched", "weak")
    assert [one["query"] for one in report(events, feedback, most=1)["end_badly"]] == ["red shoe"]


def test_where_no_clicks_are_told_none_are_missed():
    assert report([answer(name, "hat") for name in "12345"], [said("1", "a", 9)])["end_badly"] == []


def test_queries_without_a_match_and_errors_are_counted():
    events = [
        *(answer(name, "Sofa", outcome="not_stocked") for name in "12"),
        answer("3", "sofa", outcome="filters_too_narrow"),
        answer("4", "", outcome="not_stocked", words_digest="ab12"),
        answer("5", "hat"),
    ]
    errors = [{"model": "text_preprocess", "code": "INVALID_ARG"}] * 2 + [{"model": "retrieval", "code": "INTERNAL"}]
    found = report(events, [], errors)
    assert found["no_match_share"] == 0.8
    assert [(one["query"], one["outcome"], one["answers"]) for one in found["without_match"]] == [
        ("sofa", "not_stocked", 2),
        ("#ab12", "not_stocked", 1),
        ("sofa", "filters_too_narrow", 1),
    ]
    assert found["errors"][0] == {"model": "text_preprocess", "code": "INVALID_ARG", "requests": 2}
    assert query_name(events[4]) == "hat"


def test_nothing_is_no_report_of_zeros():
    found = report([], [])
    assert found["by"] == {"rank": {}, "kind": {}, "outcome": {}, "encoder": {}}
    assert found["no_match_share"] is None


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Of scipy.stats.binomtest(...).proportion_ci(method="wilson").
    [(0, 10, 0.0, 0.27753), (3, 10, 0.10779, 0.60322), (10, 10, 0.72247, 1.0), (50, 1000, 0.03813, 0.06531)],
)
def test_an_interval_is_wilsons(successes, trials, low, high):
    found = wilson(successes, trials)
    assert math.isclose(found[0], low, abs_tol=2e-5)
    assert math.isclose(found[1], high, abs_tol=2e-5)


def test_an_interval_of_nothing_is_everything():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("events", "rating", "grade"),
    [
        ({"shown"}, None, None),
        ({"shown", "click"}, None, 1),
        ({"click", "basket"}, None, 2),
        ({"purchase"}, None, 3),
        ({"purchase", "wrong"}, 10, 0),
        (set(), 10, 3),
        (set(), 8, 2),
        (set(), 5, 1),
        (set(), 4, 0),
        ({"click"}, 2, 1),
    ],
)
def test_what_a_person_did_is_a_grade(events, rating, grade):
    assert grade_of(Said(rank=1, events=events, rating=rating)) == grade


def test_grades_of_several_people_are_one():
    assert [mean_grade(given) for given in ([3], [3, 0], [1, 0], [1, 0, 0], [3, 3, 2], [0])] == [3, 2, 1, 0, 3, 0]


def test_judged_queries_are_what_evaluate_reads():
    events = [
        answer("1", "Red shoe", filter=json.dumps({"price": {"lte": 50}})),
        answer("2", "red  SHOE", filter=json.dumps({"price": {"lte": 50}})),
        answer("3", "red shoe"),
        answer("4", "hat", options={"like": ["7"]}, kind="like"),
        answer("5", "", options={"like": ["7"], "unlike": ["8"]}, kind="like"),
        answer("6", kind="photo"),
        answer("7", words_digest="ab"),
        answer("8", "sofa"),
        answer("9", "nobody said anything"),
        answer("10", kind="browse", filter="{}"),
        answer("11", "red coat", options={"compose": True, "weights": [1, -1]}),
    ]
    feedback = [
        said("1", "a", "purchase"),
        said("2", "a", "click"),
        said("2", "b", "wrong", 2),
        said("3", "b", 9, 2),
        said("4", "a", "click"),
        said("5", "a", "basket"),
        said("6", "a", "click"),
        said("7", "a", "click"),
        said("8", "a", "wrong"),
        said("gone", "a", "click"),
        said("10", "a", "click"),
        said("11", "a", "click"),
    ]
    exported = judged_from_feedback(events, joined(events, feedback))
    assert exported.left_out == {
        "a photo, which is not kept": 1,
        "words that are not kept": 1,
        "nothing was asked but a filter": 1,
        "several terms, which are one query together": 1,
        "nothing accepted": 1,
    }
    lines = [json.dumps(query) for query in exported.queries]
    under_50, shoe, hat, like = read_judged_queries(lines, "export")
    assert (under_50.text, under_50.options, under_50.accept) == (
        "Red shoe",
        {"filter": {"price": {"lte": 50}}},
        {"a": 2},
    )
    assert (shoe.text, shoe.options, shoe.accept) == ("red shoe", {}, {"b": 3})
    assert (hat.text, hat.options, hat.kind) == ("hat", {"like": ["7"]}, "like")
    assert (like.text, like.options, like.accept) == ("", {"like": ["7"], "unlike": ["8"]}, {"a": 2})
    (sure,) = judged_from_feedback(events, joined(events, feedback), least_people=2).queries
    assert (sure["text"], sure["accept"]) == ("Red shoe", {"a": 2})
    again = judged_from_feedback(events, joined(events, feedback))
    assert [query["id"] for query in again.queries] == [query["id"] for query in exported.queries]


def test_the_plot_is_drawn(tmp_path):
    events = [answer(name, results="abc") for name in "123"]
    found = report(events, [said("1", "b", "click", 2), said("1", "a", 7)])
    plot_feedback(found, tmp_path / "feedback.svg")
    drawn = (tmp_path / "feedback.svg").read_text()
    assert "<svg" in drawn
    plot_feedback(report([], []), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000
    with pytest.raises(ConfigError, match="cannot be written"):
        plot_feedback(found, tmp_path / "gone" / "feedback.png")
