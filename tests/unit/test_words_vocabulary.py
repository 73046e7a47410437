"""What a catalogue's products say, counted."""

from __future__ import annotations

import math
import threading
import zlib

import pytest

from product_match.contract.errors import ConfigError
from product_match.words.analysis import Analyser
from product_match.words.vocabulary import Vocabulary

ANALYSER = Analyser()
PRODUCTS = [
    {"id": "1", "name": "Red shoes", "description": "Red and soft"},
    {"id": "2", "name": "Blue shoes"},
    {"id": "3", "name": "Dress"},
]


@pytest.fixture
def vocabulary():
    made = Vocabulary()
    made.add(ANALYSER, PRODUCTS)
    return made


def test_a_term_counts_once_for_each_product_that_has_it(vocabulary):
    assert vocabulary.products == 3
    assert {term: vocabulary.frequency(term) for term in ("red", "shoe", "dress", "hat")} == {
        "red": 1,
        "shoe": 2,
        "dress": 1,
        "hat": 0,
    }


def test_the_length_of_a_product_counts_its_terms_as_often_as_their_fields_count(vocabulary):
    # Names count three times, descriptions once: (2 * 3 + 3) + 2 * 3 + 1 * 3.
    assert vocabulary.terms == 18
    assert vocabulary.average_length == 6.0
    assert Vocabulary().average_length is None


@pytest.mark.parametrize(("term", "held"), [("shoe", 2), ("red", 1), ("hat", 0)])
def test_rarity_is_the_engines_idf(vocabulary, term, held):
    assert vocabulary.rarity(term) == pytest.approx(math.log(1 + (3 - held + 0.5) / (held + 0.5)))


def test_a_term_that_was_counted_more_often_than_there_are_products_is_just_not_rare(vocabulary):
    vocabulary.products = 1
    assert vocabulary.rarity("shoe") == pytest.approx(math.log(1 + 0.5 / 1.5))


def test_words_are_kept_in_their_own_spelling_and_without_a_plurals_s(vocabulary):
    assert vocabulary.spellings(5) == {"shoes": 2, "dress": 1}
    assert vocabulary.spellings(4) == {"shoe": 2, "blue": 1, "soft": 1, "dres": 1}
    assert vocabulary.spellings(3) == {}
    vocabulary.spellings(4)["shoe"] = 99
    assert vocabulary.spellings(4)["shoe"] == 2


def test_short_words_and_words_with_digits_are_not_repaired_to():
    vocabulary = Vocabulary()
    vocabulary.add(ANALYSER, [{"name": "501 ab12345 tee"}])
    assert [vocabulary.spellings(n) for n in range(1, 9)] == [{}] * 8
    assert vocabulary.frequency("ab12345") == 1


def test_a_vocabulary_is_kept_whole(vocabulary):
    again = Vocabulary.from_bytes(vocabulary.to_bytes())
    assert (again.products, again.terms) == (3, 18)
    assert again.frequency("shoe") == 2
    assert [again.spellings(n) for n in range(8)] == [vocabulary.spellings(n) for n in range(8)]
    again.add(ANALYSER, [{"name": "Green shoes"}])
    assert again.frequency("shoe") == 3
    assert again.spellings(5)["shoes"] == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        zlib.compress(b"{"),
        zlib.compress(b"{}"),
        zlib.compress(b"[]"),
        zlib.compress(b'{"products": 1, "terms": 1, "frequency": {}, "spellings": 3}'),
        zlib.compress(b'{"products": "many", "terms": 1, "frequency": {}, "spellings": {}}'),
    ],
)
def test_a_vocabulary_that_cannot_be_read_says_what_counts_it_anew(data):
    with pytest.raises(ConfigError, match=r"the catalogue's vocabulary cannot be read .*`product-match rebuild`"):
        Vocabulary.from_bytes(data)


def test_products_may_be_added_from_several_threads_while_words_are_read(vocabulary):
    more = [{"name": f"Word{'abcdefgh'[n % 8] * (n % 5 + 1)} shoes"} for n in range(200)]
    threads = [threading.Thread(target=vocabulary.add, args=(ANALYSER, more)) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        vocabulary.spellings(5)
        vocabulary.to_bytes()
    for thread in threads:
        thread.join()
    assert vocabulary.frequency("shoe") == 802
    assert vocabulary.spellings(5)["shoes"] == 802
    assert vocabulary.products == 803
