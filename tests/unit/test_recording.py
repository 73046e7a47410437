"""What is told of an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from product_match.contract.errors import ConfigError
from product_match.feedback.keys import make_key, read_keys
from product_match.feedback.tokens import TokenReader
from product_match.recording.answers import open_recorder
from product_match.retrieval.answers import Answered, Timings
from product_match.retrieval.counting import kind_of
from product_match.settings import Secret

KEYS = json.dumps(make_key("HS256", "a"))


def row(*sides, examples=None, offset=0):
    return SimpleNamespace(sides=dict.fromkeys(sides), examples=examples, offset=offset, is_composed=len(sides) > 1)


def answered(*ids, **changes):
    matches = [SimpleNamespace(product=SimpleNamespace(product_id=id_)) for id_ in ids]
    return Answered(row=row("text", **changes), outcome="weak", matches=matches)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (row("text"), "words"),
        (row("image"), "photo"),
        (row("image", "text"), "photo_and_words"),
        (row(examples=1), "like"),
        (row("text", examples=1), "like"),
    ],
)
def test_a_kind_is_what_was_asked_with(asked, kind):
    assert kind_of(asked) == kind


def test_each_answer_has_a_token_of_its_own_that_says_what_it_was(catalogue_settings):
    recorder = open_recorder(replace(catalogue_settings, feedback_keys=Secret(KEYS)))
    first, second = (
        TokenReader(read_keys(KEYS)).read(token)
        for token in recorder("demo@1", [answered("a", "b"), answered("a", offset=30)], Timings())
    )
    assert first.facts.answer_id != second.facts.answer_id
    assert (first.facts.kind, first.facts.outcome, first.facts.encoder) == ("words", "weak", "demo@1")
    assert [first.rank_of("a"), first.rank_of("b"), second.rank_of("a")] == [1, 2, 31]


def test_without_keys_nothing_is_noted_and_wrong_ones_stop_the_load(catalogue_settings):
    assert open_recorder(catalogue_settings) is None
    with pytest.raises(ConfigError, match="feedback keys: not JSON"):
        open_recorder(replace(catalogue_settings, feedback_keys=Secret("x")))
