"""Which fields of a product count as words and how often, what says what a thing is, and what identifies it."""

from __future__ import annotations

from collections import Counter

import pytest

from product_match.words.analysis import Analyser
from product_match.words.fields import (
    HEAD_WEIGHT,
    IDENTIFIER_FIELDS,
    IDENTIFIER_MARK,
    SOLD_MARK,
    VALUE_MARK,
    WORD_FIELDS,
    field_texts,
    head_terms,
    identifier_form,
    product_identifiers,
    product_terms,
    product_values,
    typed_identifiers,
)

ANALYSER = Analyser()


def test_the_words_of_each_field_count_as_often_as_the_field_does():
    product = {
        "id": "7",
        "name": "Navy tee with diggers",
        "brand": "Acme",
        "category": "Tops",
        "color": "navy",
        "attributes": {"fit": "slim"},
        "description": "Soft cotton",
        "price": 9.5,
        "supplier": "nobody",
    }
    counts = Counter(product_terms(ANALYSER, product))
    assert counts == {
        "navi": WORD_FIELDS["name"] + WORD_FIELDS["color"],
        "tee": WORD_FIELDS["name"] + HEAD_WEIGHT,
        "with": WORD_FIELDS["name"],
        "digger": WORD_FIELDS["name"],
        "acm": WORD_FIELDS["brand"],
        "top": WORD_FIELDS["category"],
        "slim": WORD_FIELDS["attributes"],
        "soft": WORD_FIELDS["description"],
        "cotton": WORD_FIELDS["description"],
        SOLD_MARK + "tee": 1,
        SOLD_MARK + "top": 1,
        VALUE_MARK + "acm": 1,
        VALUE_MARK + "top": 1,
        VALUE_MARK + "navi": 1,
        IDENTIFIER_MARK + "7": 1,
    }


def test_words_for_the_text_encoder_count_where_no_field_says_them():
    counts = Counter(product_terms(ANALYSER, {"name": "Tee"}, "tee for summer"))
    marked = {SOLD_MARK + "tee": 1, VALUE_MARK + "tee": 1}
    assert counts == {"tee": WORD_FIELDS["name"] + HEAD_WEIGHT, "for": 1, "summer": 1, **marked}
    assert Counter(product_terms(ANALYSER, {}, "red red")) == {"red": 2}
    assert product_terms(ANALYSER, {}) == []
    assert product_terms(ANALYSER, {"name": 12}) == ["12"] * WORD_FIELDS["name"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("cotton", "cotton"),
        (42, "42"),
        (1.5, "1.5"),
        (2.0, "2"),
        (True, None),
        (None, None),
        ("", None),
        ([], None),
        (object(), None),
        (["cotton", "wool"], "cotton wool"),
        (("S", 42), "S 42"),
        ({"material": "suede", "waterproof": True, "vegan": False, "sizes": [41, 42]}, "suede waterproof 41 42"),
        ({"hand_made": True}, "hand made"),
        ({"care": {"wash": "cold"}}, "cold"),
    ],
)
def test_texts_are_read_from_whatever_a_field_holds(value, text):
    expected = [] if text is None else [(text, WORD_FIELDS["attributes"])]
    assert list(field_texts({"attributes": value})) == expected


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("Navy tee with diggers", ["tee"]),
        ("Trousers for kids", ["trouser"]),
        ("Olive soap, 500 ml", ["soap"]),
        ("Mug (blue)", ["mug"]),
        ("Beer – a box", ["beer"]),
        ("Mug | Acme", ["mug"]),
        ("Kaffee ohne Zucker", ["kaffe"]),
        ("blue t-shirt", ["tshirt", "t", "shirt"]),
        ("with love", []),
        ("", []),
        ("hoodie under 50", ["hoodi"]),
        ("fruit juice no sugar", ["juic"]),
        ("no sugar juice", ["juic"]),
        ("shoes under €50", ["shoe"]),
        ("Under Armour hoodie", ["hoodi"]),
    ],
)
def test_the_last_word_before_what_is_said_about_a_thing_says_what_it_is(name, head):
    assert head_terms(ANALYSER, name) == head


def test_in_some_languages_it_is_the_first_word():
    assert head_terms(Analyser("french"), "Chaussures rouges pour enfants") == Analyser("french").terms("chaussures")
    assert head_terms(Analyser("german"), "Rote Schuhe für Kinder") == ["schuh"]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("AB-12-345", "ab12345"),
        ("ab 12 345", "ab12345"),
        ("ab_12.345", "ab12345"),
        ("0012", "12"),
        ("000", "000"),
        ("4 006381 333931", "4006381333931"),
        ("?!", ""),
    ],
)
def test_an_identifier_is_compared_without_what_is_typed_in_many_ways(text, form):
    assert identifier_form(text) == form


def test_each_field_that_names_one_product_is_an_identifier():
    product = {field: f"{field}-1" for field in IDENTIFIER_FIELDS}
    assert product_identifiers(product) == [f"{field}1" for field in IDENTIFIER_FIELDS]
    assert set(IDENTIFIER_FIELDS) >= {"id", "sku", "gtin", "mpn"}
    assert product_identifiers({"id": "0042", "sku": 42, "gtin": "", "mpn": None, "ean": "--"}) == ["42"]


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("AB-12-345", ["ab12345"]),
        ("buy AB-12-345", ["buyab12345", "ab12345"]),
        ("ab 12 345", ["ab12345"]),
        ("501 jeans", ["501jeans"]),
        ("501", ["501"]),
        ("coat 4006381333931", ["coat4006381333931", "4006381333931"]),
        ("red shoes", ["redshoes"]),
        ("?!", []),
    ],
)
def test_the_whole_of_what_is_typed_and_its_long_words_with_a_digit_may_be_identifiers(text, forms):
    assert typed_identifiers(text) == forms


@pytest.mark.parametrize(
    ("product", "values"),
    [
        ({"color": "Light blue"}, ["lightblue"]),
        ({"color": "White,pine"}, ["white", "pine"]),
        ({"color": ["red", "dark green"]}, ["red", "darkgreen"]),
        ({"name": "Floor lamp, dark green, 75 cm"}, ["floorlamp", "darkgreen", "750mm"]),
        ({"name": "Black tee with a round neck", "brand": "Alder Street"}, ["alderstreet"]),
        ({"name": 12, "category": ""}, []),
    ],
)
def test_whole_values_are_terms_of_their_own(product, values):
    assert product_values(ANALYSER, product) == values
