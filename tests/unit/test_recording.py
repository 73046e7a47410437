"""What is kept of answers and failures, and the token that an answer carries."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from product_match.contract.errors import ConfigError, UnavailableError
from product_match.contract.filters import read_filter
from product_match.contract.rules import Rules, read_rule
from product_match.contract.sorting import SortKey
from product_match.events.opening import open_writer
from product_match.events.store import EVENTS, open_events
from product_match.feedback.keys import make_key, read_keys
from product_match.feedback.tokens import TokenReader
from product_match.index.product_cache import StoredProduct
from product_match.recording.answers import MOST_RESULTS, open_recorder
from product_match.recording.failures import open_failures
from product_match.retrieval.answers import Answered, Match, Timings
from product_match.retrieval.confidence import Assessment
from product_match.retrieval.counting import kind_of
from product_match.retrieval.examples import Examples
from product_match.retrieval.plans import with_rules
from product_match.retrieval.rows import RowQuery
from product_match.retrieval.searches import Parts
from product_match.retrieval.shape import Shape
from product_match.settings import Secret, WordsKept
from product_match.vectors.vector_index import SparseVector
from product_match.words.queries import WordQuery

KEYS = json.dumps(make_key("HS256", "a"))
REPAIRED = {"beenie": "beanie"}
LIKE = Examples(like=("7",), unlike=(), like_weight=0.5, unlike_weight=0.5)


def row(*sides, text="", **changes):
    words = WordQuery(
        words=(), vector=SparseVector((), ()), identifiers=None, attainable=0, known=0, repaired=REPAIRED
    )
    plain = {
        **dict.fromkeys(("fields", "filter", "min_score", "min_confidence")),
        "query_id": "q",
        "shares": {},
        "top_k": 2,
        "fusion": "calibrated",
        "explain": False,
    }
    return RowQuery(sides=dict.fromkeys(sides), text=text, words=words if text else None, **{**plain, **changes})


def answered(*ids, **changes):
    matches = [Match(StoredProduct(id_, b"{}"), 0.123456, Assessment(0.98765, None), Parts()) for id_ in ids]
    return Answered(row=row("text", **changes), outcome="weak", matches=matches)


def settings_of(catalogue_settings, **changes):
    return replace(catalogue_settings, event_hash_key=Secret("k"), **changes)


@pytest.fixture
def recorded():
    """Opens a recorder; what it is given is stored when `close` is called."""
    writers = []

    def opened(settings):
        writers.append(open_writer(settings))
        return open_recorder(settings, writers[-1])

    opened.close = lambda: [writer.close() for writer in writers if writer is not None]
    return opened


@pytest.fixture
def kept(catalogue_settings):
    store = open_events(catalogue_settings)
    yield lambda: store.page(EVENTS, "", 100)
    store.close()


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (row("text"), "words"),
        (row("image"), "photo"),
        (row("image", "text"), "photo_and_words"),
        (row(examples=LIKE), "like"),
        (row("text", examples=LIKE), "like"),
    ],
)
def test_a_kind_is_what_was_asked_with(asked, kind):
    assert kind_of(asked) == kind


def test_each_answer_has_a_token_of_its_own_that_says_what_it_was(catalogue_settings, recorded):
    recorder = recorded(settings_of(catalogue_settings, feedback_keys=Secret(KEYS)))
    reader = TokenReader(read_keys(KEYS))
    asked = [answered("a", "b"), answered("a", offset=30, options={"person": "customer-7"})]
    first, second = (reader.read(token) for token in recorder("demo@1", asked, Timings()))
    recorded.close()
    assert first.facts.answer_id != second.facts.answer_id
    assert (first.facts.kind, first.facts.outcome, first.facts.encoder) == ("words", "weak", "demo@1")
    assert [first.rank_of("a"), first.rank_of("b"), second.rank_of("a")] == [1, 2, 31]
    assert first.facts.person == ""
    assert len(second.facts.person) == 32
    assert "customer" not in second.facts.person


def test_an_event_says_what_was_asked_and_answered(catalogue_settings, recorded, kept):
    recorder = recorded(settings_of(catalogue_settings, event_log=True, feedback_keys=Secret(KEYS)))
    given = {"price": {"lte": 50}, "category": "Hats"}
    options = {"filter": given, "person": "customer-7", "top_k": 2, "like": ("7", "8")}
    timings = Timings()
    timings.milliseconds["search"] = 1.5
    (token,) = recorder(
        "demo@1", [answered("a", "b", text="red beenie", options=options, filter=read_filter(given))], timings
    )
    recorded.close()
    (event,) = kept()
    facts = TokenReader(read_keys(KEYS)).read(token).facts
    assert event["_id"] == event["order"] == facts.answer_id
    assert (event["type"], event["query_id"], event["kind"], event["outcome"]) == ("answer", "q", "words", "weak")
    assert (event["words"], event["repaired"]) == ("red beenie", REPAIRED)
    assert event["options"] == {"top_k": 2, "like": ["7", "8"]}
    assert json.loads(event["filter"]) == given
    assert event["results"] == [{"id": id_, "score": 0.1235, "confidence": 0.9877} for id_ in "ab"]
    assert (event["milliseconds"], event["encoder"]) == ({"search": 1.5}, "demo@1")
    assert event["person"] == facts.person


@pytest.mark.parametrize("words", [WordsKept.HASHED, WordsKept.LEFT_OUT])
def test_words_that_are_not_kept_are_nowhere_in_an_event(catalogue_settings, recorded, kept, words):
    settings = settings_of(catalogue_settings, event_log=True, event_words=words)
    recorder, failures = recorded(settings), open_failures(settings, "text_preprocess")
    assert recorder("demo@1", [answered("a", text="for anna beenie")], Timings()) == [None]
    failures("anna's request"[-7:], UnavailableError("filter: unknown field 'anna'"))
    recorded.close()
    failures.close()
    answer, failure = sorted(kept(), key=lambda event: event["type"])
    assert "anna" not in json.dumps([answer, failure], default=str)
    assert "beenie" not in json.dumps([answer, failure], default=str)
    assert ("words_digest" in answer) is (words is WordsKept.HASHED)
    assert failure["message"] == "filter"


def test_a_very_long_answer_is_kept_in_part(catalogue_settings, recorded, kept):
    recorder = recorded(settings_of(catalogue_settings, event_log=True))
    recorder("demo@1", [answered(*map(str, range(300)))], Timings())
    recorded.close()
    (event,) = kept()
    assert len(event["results"]) == MOST_RESULTS


def test_a_failure_is_an_event_of_its_model(catalogue_settings, recorded, kept):
    failures = open_failures(settings_of(catalogue_settings, event_log=True), "image_preprocess")
    failures("r1", UnavailableError("the server is busy: 600 requests wait"))
    failures.close()
    (event,) = kept()
    assert (event["type"], event["query_id"], event["model"]) == ("error", "r1", "image_preprocess")
    assert (event["code"], event["message"]) == ("UNAVAILABLE", "the server is busy: 600 requests wait")


def test_where_nothing_is_kept_nothing_is_noted(catalogue_settings, recorded, kept):
    assert open_recorder(catalogue_settings, None) is None
    failures = open_failures(catalogue_settings, "retrieval")
    failures("r", UnavailableError("x"))
    failures.close()
    assert kept() == []
    with pytest.raises(ConfigError, match="feedback keys: not JSON"):
        open_recorder(replace(catalogue_settings, feedback_keys=Secret("x")), None)


def test_what_would_match_with_fewer_filters_takes_feedback_too(catalogue_settings, recorded, kept):
    recorder = recorded(settings_of(catalogue_settings, event_log=True, feedback_keys=Secret(KEYS)))
    near = [{"product_id": "c", "without": ["price"]}, {"product_id": "c", "without": ["price", "color"]}]
    (token,) = recorder("demo@1", [replace(answered("a"), would_match=near)], Timings())
    recorded.close()
    assert TokenReader(read_keys(KEYS)).read(token).rank_of("c") == 2
    (event,) = kept()
    assert event["would_match"] == ["c"]
    assert [result["id"] for result in event["results"]] == ["a"]


def test_what_stands_inside_a_match_takes_feedback_too(catalogue_settings, recorded, kept):
    recorder = recorded(settings_of(catalogue_settings, event_log=True, feedback_keys=Secret(KEYS)))
    one = answered("a", "b")
    variant = answered("a2").matches[0]
    matches = [replace(one.matches[0], variants=(variant,)), replace(one.matches[1], duplicates=("b2",))]
    (token,) = recorder("demo@1", [replace(one, matches=matches)], Timings())
    recorded.close()
    read = TokenReader(read_keys(KEYS)).read(token)
    assert {id_: read.rank_of(id_) for id_ in ("a", "a2", "b", "b2")} == {"a": 1, "a2": 1, "b": 2, "b2": 2}
    (event,) = kept()
    assert [result["others"] for result in event["results"]] == [["a2"], ["b2"]]


def test_half_a_character_in_an_option_is_no_obstacle(catalogue_settings, recorded, kept):
    recorder = recorded(settings_of(catalogue_settings, event_log=True))
    given = {"category": "\ud800"}
    options = {"filter": given, "like": ("\ud800", "7"), "person": "\ud800", "top_k": 3, "boost": [{"a.b": 1}]}
    recorder("demo@1", [answered("a", options=options, filter=read_filter({"category": "x"}))], Timings())
    recorded.close()
    (event,) = kept()
    assert event["options"] == {"like": ["?", "7"], "top_k": 3, "boost": '[{"a.b": 1}]'}
    assert json.loads(event["filter"]) == given


def test_an_answer_that_cannot_be_noted_is_answered_all_the_same(catalogue_settings, recorded, caplog):
    recorder = recorded(settings_of(catalogue_settings, feedback_keys=Secret(KEYS)))
    broken = replace(answered("a"), would_match=[{}])
    tokens = recorder("demo@1", [broken, answered("a")], Timings())
    assert [token is None for token in tokens] == [True, False]
    assert [record.getMessage() for record in caplog.records] == ["an answer could not be noted"]


def test_an_event_names_the_rules_that_shaped_its_answer(catalogue_settings, recorded, kept):
    recorder = recorded(settings_of(catalogue_settings, event_log=True))
    rules = Rules(
        (
            read_rule({"id": "pins", "query": "hat", "pin": ["7"]}),
            read_rule({"id": "last", "query": "HAT", "bury": ["8"]}),
        )
    )
    asked = row("text", text="Hat")
    sorted_by_price = replace(asked, shape=Shape(sort=(SortKey("price", descending=False),)))
    rows = [
        with_rules(asked, rules),
        with_rules(row("text", text="cap"), Rules()),
        with_rules(sorted_by_price, rules),
    ]
    recorder("demo@1", [replace(answered("a"), row=one) for one in rows], Timings())
    recorded.close()
    assert [event.get("rules") for event in kept()] == [["last", "pins"], None, None]
