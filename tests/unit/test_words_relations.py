"""What is another word for the same thing, what is narrower and what is wider."""

from __future__ import annotations

import pytest

from product_match.words.analysis import Analyser
from product_match.words.relations import (
    BROADER_SHARE,
    GROUPED_SHARE,
    NARROWER_SHARE,
    SAME_SHARES,
    Relations,
)

ANALYSER = Analyser()
RELATIONS = Relations(ANALYSER)


def related(text):
    found = RELATIONS.related(tuple(word.surface for word in ANALYSER.words(text)))
    return {" ".join(one.phrase): one.share for one in found}


def stem(text):
    return " ".join(ANALYSER.terms(text))


@pytest.mark.parametrize(
    ("typed", "carried"),
    [
        ("sweater", "jumper"),
        ("eggplants", "aubergine"),
        ("couch", "sofa"),
        ("beet", "beetroot"),
        ("spud", "potato"),
        ("soy", "soya"),
        ("knapsack", "backpack"),
    ],
)
def test_another_word_for_the_same_thing(typed, carried):
    assert related(typed)[stem(carried)] >= SAME_SHARES[1]


@pytest.mark.parametrize(
    ("typed", "carried"),
    [
        ("trainers", "sneakers"),
        ("body warmer", "gilet"),
        ("tracksuit bottoms", "joggers"),
        ("capsicum", "bell pepper"),
        ("soy milk", "soya drink"),
        ("diaper", "nappy"),
        ("t-shirts", "tee"),
    ],
)
def test_shops_own_words(typed, carried):
    assert related(typed)[stem(carried)] == GROUPED_SHARE


@pytest.mark.parametrize(
    ("typed", "carried"), [("footwear", "boots"), ("fruit", "banana"), ("vegetables", "carrots"), ("bag", "backpack")]
)
def test_what_is_narrower(typed, carried):
    assert related(typed)[stem(carried)] == NARROWER_SHARE


def test_what_is_wider_is_worth_little():
    assert related("windbreaker")["jacket"] == BROADER_SHARE
    assert "garment" not in related("windbreaker")


@pytest.mark.parametrize(
    ("typed", "other"),
    [
        ("tent", "top"),
        ("drink", "toast"),
        ("dress", "vinaigrette"),
        ("food", "apple"),
    ],
)
def test_a_word_stands_for_what_it_is_understood_as_alone(typed, other):
    assert stem(other) not in related(typed)


def test_nearer_words_come_first_and_a_word_is_none_of_its_own():
    found = RELATIONS.related(("sweater",))
    shares = [one.share for one in found]
    assert shares == sorted(shares, reverse=True)
    assert ("sweater",) not in [one.phrase for one in found]
    assert len({one.phrase for one in found}) == len(found)


@pytest.mark.parametrize("word", ["surfboard", "bag", "broccoli", "grapes", "trousers", "sofa"])
def test_words_for_goods(word):
    assert RELATIONS.names_goods(word)


@pytest.mark.parametrize("word", ["suede", "waterproof", "stripes", "cotton", "button", "organic", "qwertz"])
def test_words_for_what_goods_are_like(word):
    assert not RELATIONS.names_goods(word)


def test_a_language_without_files_has_no_relations():
    german = Relations(Analyser("german"))
    assert german.related(("sweater",)) == ()
    assert not german.names_goods("sofa")
