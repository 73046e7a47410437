"""One wrong letter is repaired by the catalogue's words; a word that exists never is."""

from __future__ import annotations

import string

import pytest
from rapidfuzz.distance import OSA

from product_match.words.analysis import LANGUAGES, Analyser
from product_match.words.spelling import HARDLY_EVER, MOST_REPAIRS, Speller, known_words
from product_match.words.stop_words import stop_words
from product_match.words.vocabulary import Vocabulary

ENGLISH = Speller("english")


def vocabulary_of(*names):
    vocabulary = Vocabulary()
    vocabulary.add(Analyser(), [{"name": name} for name in names])
    return vocabulary


CATALOGUE = vocabulary_of("Navy sneakers", "Wool beanie", "Wool beanie", "Denim jacket", "Zorbly lamp", "Olive soap")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sneekers", "sneakers"),  # another letter
        ("sneakrs", "sneakers"),  # one missing
        ("sneeakers", "sneakers"),  # one too many
        ("snaekers", "sneakers"),  # two swapped
        ("neakers", "sneakers"),  # the first one missing
        ("beenie", "beanie"),
        ("jakcet", "jacket"),
        ("jackket", "jacket"),
        ("zorbli", "zorbly"),
        ("zneakers", "sneakers"),
        ("snaeker", "sneaker"),  # a plural's s left out, and another slip
    ],
)
def test_one_wrong_letter_is_repaired(typed, meant):
    assert ENGLISH.repairs(typed, CATALOGUE)[0] == meant


@pytest.mark.parametrize(
    "typed",
    [
        "sofa",  # no product has it, and it exists
        "snake",
        "beans",
        "soup",  # one letter from soap
        "laptop",
        "soop",  # too short
        "zorb",
        "snxxkers",  # two letters
        "snaekres",
        "sneak3rs",  # no word
        "sneakers'",
    ],
)
def test_what_exists_or_is_too_far_or_too_short_is_left_alone(typed):
    assert ENGLISH.repairs(typed, CATALOGUE) == []


def distance(one, other):
    """Optimal string alignment, by the textbook's table."""
    rows = [[max(i, j) if not min(i, j) else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            differs = one[i - 1] != other[j - 1]
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + differs)
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


@pytest.mark.parametrize(
    ("one", "other", "expected"), [("ca", "abc", 3), ("jakcet", "jacket", 1), ("kitten", "sitting", 3), ("a", "", 1)]
)
def test_the_distance_counts_letters_and_swaps(one, other, expected):
    assert distance(one, other) == OSA.distance(one, other) == expected


def test_every_spelling_one_letter_away_is_repaired_and_no_other():
    """All of one word's neighbours, found by the definition."""
    word, vocabulary = "zorblyk", vocabulary_of("Zorblyk")
    letters = string.ascii_lowercase
    near = {word[:n] + word[n + 1 :] for n in range(len(word))}
    near |= {word[:n] + letter + word[n:] for n in range(len(word) + 1) for letter in letters}
    near |= {word[:n] + letter + word[n + 1 :] for n in range(len(word)) for letter in letters}
    near |= {word[:n] + word[n + 1] + word[n] + word[n + 2 :] for n in range(len(word) - 1)}
    near.discard(word)
    speller = Speller("finnish")  # no list of words, so none is held to exist
    assert all(distance(typed, word) == 1 for typed in near)
    assert [typed for typed in sorted(near) if speller.repairs(typed, vocabulary) != [word]] == []
    far = {first[:3] + letter + first[3:] for first in sorted(near)[:40] for letter in "qj"}
    assert all(distance(typed, word) > 1 for typed in far)
    assert [typed for typed in far if speller.repairs(typed, vocabulary)] == []


def test_the_words_of_the_same_first_letter_and_of_more_products_come_first():
    vocabulary = vocabulary_of("Zarbly", "Zorbly", "Zorbly", "Karbly", "Karbly", "Karbly", "Zirbly", "Zurbly")
    repairs = Speller("finnish").repairs("zxrbly", vocabulary)
    assert repairs[0] == "zorbly"
    assert len(repairs) == MOST_REPAIRS
    assert "karbly" not in repairs
    assert Speller("finnish").repairs("xarbly", vocabulary)[0] == "karbly"


def test_a_slip_that_many_make_is_no_word(monkeypatch):
    seldom = HARDLY_EVER
    met = {"jacket": 90 * seldom, "jackit": seldom, "jacked": 9 * seldom, "zorblies": seldom, "zorblied": seldom}
    monkeypatch.setattr(ENGLISH, "_known", met)
    assert ENGLISH.repairs("jackit", CATALOGUE) == ["jacket"]
    assert ENGLISH.exists("jacked")
    assert not ENGLISH.exists("jackit")
    assert ENGLISH.repairs("jacked", CATALOGUE) == []
    # Met as seldom as what it may be a slip of: a rare word of its own.
    assert ENGLISH.repairs("zorblied", vocabulary_of("Zorblies")) == []


def test_a_language_without_a_list_of_words_has_none_that_exist():
    assert known_words("finnish") == {}
    assert not Speller("finnish").exists("sofa")


def test_a_word_exists_whether_or_not_its_accents_are_typed():
    assert known_words("german")["bucher"] > 0
    assert Speller("french").exists("fenetre")


def test_stop_words_are_those_of_the_language():
    assert {"the", "with", "it", "who"} <= stop_words("english")
    assert {"für", "mit"} <= stop_words("german")
    assert not stop_words("english") & {"red", "shoes", "men"}
    assert stop_words("finnish") == frozenset()
    assert all(word == word.casefold() for language in LANGUAGES for word in stop_words(language))
