"""What is kept of requests can be read in pages, and removed by the key of a person."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from product_match.catalogue.commands import perform
from product_match.catalogue.event_commands import open_event_access
from product_match.contract.errors import InvalidRequestError
from product_match.events.ids import event_id
from product_match.events.privacy import Privacy
from product_match.settings import Secret, WordsKept


@pytest.fixture
def access(catalogue_settings):
    opened = open_event_access(replace(catalogue_settings, event_hash_key=Secret("k")))
    yield opened
    opened.close()


def do(access, operation, **arguments):
    return json.loads(json.dumps(perform(None, json.dumps({"operation": operation, **arguments}).encode(), access)))


def fill(access, *ages_s, **fields):
    now = time.time()
    names = [event_id(now - age) for age in ages_s]
    access.store.add_events(
        [{"_id": name, "order": name, "age": age, **fields} for name, age in zip(names, ages_s, strict=True)]
    )


def ages(answer):
    return [event["age"] for event in answer["events"]]


def test_events_come_in_pages_the_oldest_first(access):
    fill(access, 1, 100, 50, 10_000)
    first = do(access, "events", limit=3)
    assert ages(first) == [10_000, 100, 50]
    assert ages(do(access, "events", limit=3, after=first["next"])) == [1]
    assert do(access, "events")["next"] is None
    assert ages(do(access, "events", since=int(time.time()) - 500)) == [100, 50, 1]
    assert do(access, "events", collection="feedback")["events"] == []
    (newest,) = do(access, "events", since=int(time.time()) - 20)["events"]
    assert newest.keys() == {"id", "at", "age"}
    assert newest["at"].endswith("+00:00")


def test_a_person_is_forgotten_and_nobody_else(access):
    fill(access, 1, 2, person=access.privacy.digest("customer-7"))
    fill(access, 3, person=access.privacy.digest("customer-8"))
    fill(access, 4)
    access.store.record_feedback([{"_id": "f", "order": event_id(), "person": access.privacy.digest("customer-7")}])
    assert do(access, "forget", person="customer-7") == {"removed": {"events": 2, "feedback": 1}}
    assert ages(do(access, "events")) == [4, 3]
    assert do(access, "forget", person="customer-7") == {"removed": {"events": 0, "feedback": 0}}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"operation": "forget"}, "forget: `person` is empty; send the key that searches were sent with as `person`"),
        ({"operation": "events", "collection": "x"}, "events: collection must be events or feedback, got 'x'"),
        ({"operation": "events", "limit": 201}, "events: limit must be a whole number from 1 to 200, got 201"),
        (
            {"operation": "events", "till": 1},
            "events: unknown argument 'till'; known arguments are collection, after",
        ),
        ({"operation": "sing"}, "known operations are get, list,"),
        ({"operation": 3}, "capabilities, events, forget"),
    ],
)
def test_what_is_not_understood_is_refused(access, command, words):
    with pytest.raises(InvalidRequestError) as caught:
        perform(None, json.dumps(command).encode(), access)
    assert words in str(caught.value)


QUOTING = "top_k: expected a whole number from 1 to 1,000, got 'for anna'"


def test_words_are_kept_hashed_or_left_out():
    kept, hashed, left_out = (Privacy(words, "key") for words in WordsKept)
    assert kept.of_words("Red  Shoe", {"shoo": "shoe"}) == {"words": "Red  Shoe", "repaired": {"shoo": "shoe"}}
    assert kept.of_words("Red", {}) == {"words": "Red"}
    assert hashed.of_words("Red  Shoe", {"shoo": "shoe"}) == {"words_digest": hashed.digest("red shoe")}
    assert left_out.of_words("Red", {"shoo": "shoe"}) == kept.of_words("", {}) == hashed.of_words("", {}) == {}
    assert kept.of_message(QUOTING) == QUOTING
    assert hashed.of_message(QUOTING) == left_out.of_message(QUOTING) == "top_k"
    assert hashed.of_message("parameter `anna` is not known here") == "parameter"


def test_a_digest_is_of_its_key():
    first, second = Privacy(WordsKept.HASHED, "a"), Privacy(WordsKept.HASHED, "b")
    assert first.digest("x") == first.digest("x") != second.digest("x")
    assert len(first.digest("x")) == 32
