"""Feedback is checked row by row, recorded with one call, and counts once."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError, UnavailableError
from product_match.contract.feedback import parse_feedback, written_feedback
from product_match.events import store
from product_match.events.ids import earliest_id, event_id, time_of
from product_match.events.store import FEEDBACK, EventStore, open_events
from product_match.feedback.keys import make_key, read_keys
from product_match.feedback.opening import open_feedback, open_signer
from product_match.feedback.tokens import AnswerFacts
from product_match.settings import Secret
from product_match.triton.batches import BatchRequest, bytes_column

KEYS = Secret(json.dumps(make_key("HS256", "a")))


@pytest.fixture
def settings(catalogue_settings):
    return replace(catalogue_settings, feedback_keys=KEYS)


@pytest.fixture
def feedback(settings):
    opened = open_feedback(settings)
    yield opened
    opened.close()


def token_of(settings, *ids, person=""):
    facts = AnswerFacts(answer_id=event_id(), kind="words", outcome="weak", encoder="demo@1", person=person)
    return open_signer(settings).sign(facts, ids)


def request(*rows):
    columns = zip(*rows, strict=True)
    encoded = [bytes_column([x if isinstance(x, bytes) else x.encode() for x in column]) for column in columns]
    return BatchRequest(tensors=dict(zip(("feedback_token", "product_id", "feedback"), encoded, strict=True)))


def statuses(answer):
    return [json.loads(row)["status"] for row in answer["receipt"][:, 0]]


def kept(feedback):
    return feedback.events.page(FEEDBACK, "", 100)


def test_what_a_person_said_is_kept_with_what_the_answer_was(feedback, settings):
    token = token_of(settings, "x", "y", person="digest")
    (answer,) = feedback.service([request((token, "y", "8"), (token, "y", " Click "))])
    assert statuses(answer) == ["recorded", "recorded"]
    rating, click = kept(feedback)
    assert (rating["event"], rating["rating"], click["event"]) == ("rating", 8, "click")
    for document in (rating, click):
        assert document["rank"] == 2
        assert (document["kind"], document["outcome"], document["encoder"]) == ("words", "weak", "demo@1")
        assert (document["product_id"], document["person"]) == ("y", "digest")
        assert abs(document["at"].timestamp() - time.time()) < 60
    assert "rating" not in click


def test_the_same_twice_counts_once_and_that_is_said(feedback, settings):
    token = token_of(settings, "x")
    feedback.service([request((token, "x", "click"))])
    (answer,) = feedback.service([request((token, "x", "click"), (token, "x", "basket"), (token, "x", "basket"))])
    assert statuses(answer) == ["repeated", "recorded", "repeated"]
    assert json.loads(answer["receipt"][0, 0])["message"] == "recorded before; it counts once, so this was left out"
    assert [document["event"] for document in kept(feedback)] == ["click", "basket"]
    # Another answer with the same product is another person's click.
    (answer,) = feedback.service([request((token_of(settings, "x"), "x", "click"))])
    assert statuses(answer) == ["recorded"]


def test_a_new_rating_takes_the_place_of_the_one_before(feedback, settings):
    token = token_of(settings, "x", "y")
    feedback.service([request((token, "x", "3"), (token, "y", "3"))])
    (answer,) = feedback.service([request((token, "x", "9"), (token, "y", "3"))])
    assert statuses(answer) == ["changed", "repeated"]
    assert [document["rating"] for document in kept(feedback)] == [9, 3]


def test_a_batch_is_recorded_with_one_call_and_a_bad_row_refuses_its_request_alone(feedback, settings, monkeypatch):
    calls = []
    record = EventStore.record_feedback

    def counted(store, documents):
        calls.append(len(documents))
        return record(store, documents)

    monkeypatch.setattr(EventStore, "record_feedback", counted)
    token = token_of(settings, "x")
    first, bad, last = feedback.service(
        [
            request((token, "x", "shown")),
            request((token, "x", "wrong"), (token, "z", "wrong")),
            request((token, "x", "purchase"), (token, "x", "10")),
        ]
    )
    assert (statuses(first), statuses(last), calls) == (["recorded"], ["recorded"] * 2, [3])
    assert isinstance(bad, InvalidRequestError)
    assert str(bad).startswith("row 1: feedback: product 'z' is not among the 1 products")
    assert [document["event"] for document in kept(feedback)] == ["shown", "purchase", "rating"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            ("{token}", "x", "11"),
            "feedback: expected a rating from 1 to 10, or one of shown, click, basket, purchase, ",
        ),
        (("{token}", "x", "0"), "got '0'; send one of these as text"),
        (("{token}", "x", "liked"), "got 'liked'"),
        (("forged", "x", "5"), "feedback_token: it is forged or damaged"),
        (("{token}", "x", b"\xff"), "feedback: not UTF-8 (invalid start byte at byte 0); send text"),
        (("a" * 20_000, "x", "5"), "feedback_token: 20,000 bytes, the limit is 16,384; send what an answer held"),
    ],
)
def test_what_cannot_be_taken_says_what_to_send(feedback, settings, row, words):
    token = token_of(settings, "x")
    row = [part.replace("{token}", token) if isinstance(part, str) else part for part in row]
    (answer,) = feedback.service([request(row)])
    assert isinstance(answer, InvalidRequestError)
    assert words in str(answer)
    assert kept(feedback) == []


def test_without_keys_no_answer_is_signed_and_no_feedback_taken(catalogue_settings):
    assert open_signer(catalogue_settings) is None
    feedback = open_feedback(catalogue_settings)
    with pytest.raises(InvalidRequestError, match="this server takes none, as it has no keys to sign answers with"):
        feedback.service([request(("t", "x", "5"))])
    feedback.close()


def test_keys_that_cannot_be_used_stop_the_load(catalogue_settings):
    settings = replace(catalogue_settings, feedback_keys=Secret("x"))
    for opens in (open_feedback, open_signer):
        with pytest.raises(ConfigError, match="feedback keys: not JSON"):
            opens(settings)


def test_a_store_that_is_away_is_told_and_nothing_else_fails(settings):
    away = replace(settings, event_uri=Secret("mongodb://127.0.0.1:1/?directConnection=true"), store_timeout_s=0.2)
    feedback = open_feedback(away)
    with pytest.raises(UnavailableError, match="document store: recording feedback failed because it does not"):
        feedback.service([request((token_of(settings, "x"), "x", "5"))])
    feedback.close()


def test_the_embedded_store_is_swept_by_the_time_of_the_event(settings):
    events = open_events(replace(settings, event_days=1.0))
    now = time.time()
    documents = [{"_id": str(age), "order": event_id(now - age * 3600), "event": "click"} for age in (0, 23, 25, 48)]
    events.record_feedback(documents)
    assert events.remove_expired() == 2
    assert [document["_id"] for document in events.page(FEEDBACK, "", 9)] == ["23", "0"]
    assert events.remove_expired() == 0
    events.close()


def test_names_of_events_sort_by_time():
    names = [event_id(moment) for moment in (1.0, 2.0, 1.7e9, 1.7e9 + 0.001)]
    assert names == sorted(names)
    assert [time_of(name) for name in names] == [1.0, 2.0, 1.7e9, 1.7e9 + 0.001]
    assert earliest_id(2.0) <= names[1]
    assert earliest_id(2.001) > names[1]
    assert event_id() != event_id()


@pytest.mark.parametrize(
    ("rating", "event", "words"),
    [
        (None, None, "got neither of `rating` and `event`; give one"),
        (3, "click", "got both of `rating` and `event`; give one"),
        (3.0, None, "`rating` must be a whole number, got 3.0"),
        (True, None, "`rating` must be a whole number, got True"),
        (11, None, "expected a rating from 1 to 10"),
        (None, "liked", "got 'liked'"),
    ],
)
def test_the_client_says_what_is_no_feedback(rating, event, words):
    with pytest.raises(InvalidRequestError) as caught:
        written_feedback(rating, event)
    assert words in str(caught.value)


def test_what_is_written_is_read():
    assert parse_feedback(written_feedback(7, None)) == 7
    assert parse_feedback(written_feedback(None, "Purchase")) == "purchase"
    assert read_keys(KEYS.value).signing.key_id == "a"


def test_a_mongodb_is_given_a_ttl_index_instead(settings, monkeypatch):
    """nx-27017 plays the MongoDB that it is not: it has such indexes, too."""
    monkeypatch.setattr(store, "_EMBEDDED", "another")
    events = open_events(replace(settings, event_days=1.0))
    now = time.time()
    events.record_feedback([{"_id": str(age), "order": event_id(now - age * 3600)} for age in (25, 1)])
    assert [document["_id"] for document in events.page(FEEDBACK, "", 9)] == ["1"]
    assert events.remove_expired() == 0
    events.close()
