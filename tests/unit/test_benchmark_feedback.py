"""The simulated people of the feedback report, and the figures of the event log's cost."""

from __future__ import annotations

import itertools
import random

from benchmarks.event_log import new_words, report
from benchmarks.simulated_feedback import thought
from product_match.evaluation.judged_queries import JudgedQuery
from product_match_client import Match, MatchResult


def answer(*ids):
    matches = (Match(rank=rank, product_id=id_, score=1.0, product={}) for rank, id_ in enumerate(ids, start=1))
    return MatchResult(query_id="q", encoder="demo@1", matches=tuple(matches), feedback_token="t")


def told(accept, seeds, *ids):
    query = JudgedQuery(id="1", kind="type", text="hat", accept=accept)
    return [list(thought(query, answer(*ids), random.Random(seed))) for seed in range(seeds)]


def test_people_take_up_what_they_wish_for_and_tell_of_nothing_that_they_have_not_seen():
    people = told({"a": 3}, 400, "a", "b", "c")
    for rows in people:
        shown = [row.product_id for row in rows if row.event == "shown"]
        assert shown == list("abc")[: len(shown)]
        assert {row.product_id for row in rows} == set(shown)
    clicked = [row.product_id for rows in people for row in rows if row.event == "click"]
    assert 240 < clicked.count("a") < 320
    assert clicked.count("b") < 30
    assert {row.rating for rows in people for row in rows if row.product_id == "a"} == {None, 10}
    assert not [row for rows in people for row in rows if row.event == "purchase" and row.product_id != "a"]


def test_who_finds_nothing_may_complain():
    people = told({}, 400, "a", "b")
    assert 100 < sum(any(row.event == "wrong" for row in rows) for rows in people) < 220
    assert told({"a": 3}, 1) == [[]]


def test_no_words_come_twice():
    words = list(itertools.islice(new_words(), 3000))
    assert len(set(words)) == 3000


def test_the_difference_is_that_of_the_same_queries():
    took = {"no events": [10.0, 20.0, 30.0], "events": [11.0, 19.0, 32.0]}
    found = report(took, {"no events": [50.0, 52.0, 60.0], "events": [40.0, 41.0]})
    assert found["no events"]["queries_a_second"] == 52.0
    assert (found["events"]["p50_ms"], found["events"]["median_of_differences_ms"]) == (19.0, 1.0)
