"""What customers and shops write in several ways becomes the same terms, and nothing that they write is lost."""

from __future__ import annotations

import pytest

from product_match.words.analysis import LANGUAGES, Analyser, Word

ENGLISH = Analyser()


def terms(text, language="english"):
    return (ENGLISH if language == "english" else Analyser(language)).terms(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500 ml", ["500ml"]),
        ("500ml", ["500ml"]),
        ("500 ML", ["500ml"]),
        ("0,5 l", ["500ml"]),
        ("0.5L", ["500ml"]),
        ("0,5 ltr", ["500ml"]),
        ("50cl", ["500ml"]),
        ("5 dl", ["500ml"]),
        ("½ l", ["500ml"]),
        ("1/2 l", ["500ml"]),
        ("1/0 l", ["0ml"]),
        ("1.5 kg", ["1500g"]),
        ("1500 g", ["1500g"]),
        ("250 mg", ["0.25g"]),
        ("10 cm", ["100mm"]),
        ("100mm", ["100mm"]),
        ("99999999999 ml", ["99999999999ml"]),
        ("5 l bottle", ["5000ml", "bottl"]),
        ("bottle 5", ["bottl", "5"]),
        ("24 ampere", ["24", "amper"]),
        ("24v", ["24v"]),
    ],
)
def test_an_amount_and_its_unit_are_one_term_however_they_are_written(text, expected):
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("501", ["501"]),
        ("42", ["42"]),
        ("4K", ["4k"]),
        ("XL", ["xl"]),
        ("4006381333931", ["4006381333931"]),
        ("€19.90", ["19.9"]),
        ("19,90 €", ["19.9"]),
        ("0000", ["0"]),
        ("½", ["1/2"]),
        ("1/2", ["1/2"]),
        ("１２", ["12"]),
        ("1,000 pieces", ["1000", "piec"]),
        ("1,000,000", ["1000000"]),
        ("0,125", ["0.125"]),
        ("1.000.000", ["1000000", "1", "000"]),
        ("100%", ["100"]),
    ],
)
def test_numbers_and_sizes_are_kept(text, expected):
    assert terms(text) == expected


def test_thousands_are_written_as_the_language_does():
    assert terms("1.000 Teile", "german")[0] == terms("1000 Teile", "german")[0] == "1000"
    assert terms("1,5 l", "german") == ["1500ml"]


@pytest.mark.parametrize("text", ["IT", "The Who", "a", "be", "with", "no", "X"])
def test_no_word_is_dropped(text):
    assert terms(text) == text.casefold().split()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("t-shirt", "tshirt"),
        ("t-shirt", "t shirt"),
        ("T-Shirts", "t shirt"),
        ("tshirts", "t-shirt"),
        ("x-large", "x large"),
        ("AB-12-345", "ab12345"),
        ("AB_12_345", "AB-12-345"),
        ("AB.12/345", "ab12345"),
        ("e-mail", "email"),
        ("H&M", "hm"),
        ("women", "woman"),
        ("women's", "woman"),
        ("women’s", "women"),
        ("womens", "woman"),
        ("men's", "man"),
        ("mens", "men"),
        ("children's", "child"),
        ("boys'", "boy"),
        ("dresses", "dress"),
        ("scarves", "scarf"),
        ("yoghurts", "yogurt"),
        ("colours", "color"),
        ("gray", "grey"),
        ("grün", "gruen"),
        ("grün", "grun"),
        ("Café", "cafe"),
        ("crème brûlée", "creme brulee"),
        ("Straße", "strasse"),
        ("L’Oréal", "loreal"),
    ],
)
def test_what_is_meant_alike_meets(one, other):
    assert terms(one)[0] == terms(other)[0] or set(terms(one)) >= set(terms(other))
    assert set(terms(one)) & set(terms(other))


@pytest.mark.parametrize(
    ("one", "other"), [("dress", "address"), ("501", "505"), ("500 ml", "500 g"), ("4k", "4"), ("XL", "XXL")]
)
def test_what_differs_stays_apart(one, other):
    assert not set(terms(one)) & set(terms(other))


def test_the_parts_of_a_word_follow_the_whole():
    assert ENGLISH.words("AB-12-345") == [Word(surface="ab12345", terms=("ab12345", "ab", "12", "345"))]
    assert ENGLISH.words("T-Shirts") == [Word(surface="tshirts", terms=("tshirt", "t", "shirt"))]
    assert ENGLISH.words("t shirts") == ENGLISH.words("T-Shirts")
    assert ENGLISH.words("yo-yo") == [Word(surface="yoyo", terms=("yoyo", "yo"))]


def test_a_letter_joins_only_a_word():
    assert terms("h & m") == ["h", "m"]
    assert terms("a 42") == ["a", "42"]
    assert terms("vitamin c") == ["vitamin", "c"]
    assert terms("size a") == ["size", "a"]


def test_a_word_is_shown_without_accents_and_not_stemmed():
    assert [word.surface for word in ENGLISH.words("Crème Dresses, 0,5 l")] == ["creme", "dresses", "500ml"]


def test_words_come_in_order_and_as_often_as_they_are_said():
    assert terms("red dress, red shoes") == ["red", "dress", "red", "shoe"]
    assert terms("") == terms("?! – …") == []


def test_letters_of_other_writing_are_words():
    assert terms("Привет 日本") == ["привет", "日本"]


def test_each_language_has_its_own_stems():
    assert terms("Schuhe", "german") == ["schuh"]
    assert terms("chaussures", "french") == terms("chaussure", "french")
    assert terms("women", "german") == ["wom"]
    assert {"english", "german", "french", "spanish"} <= set(LANGUAGES)


def test_umlauts_meet_in_german_too():
    assert set(terms("grüne", "german")) & set(terms("gruene", "german"))
    assert set(terms("Äpfel", "german")) & set(terms("apfel", "german"))
