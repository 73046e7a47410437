"""One parser reads typed values from JSON and strings from headers, and refuses what it cannot serve."""

from __future__ import annotations

import json
import re

import pytest

from product_match.contract.errors import InvalidRequestError
from product_match.contract.options import (
    ALL_OPTIONS,
    INDEX_OPTIONS,
    MATCH_OPTIONS,
    OptionSpec,
    OptionType,
    header_pattern,
)
from product_match.triton.parameters import parse_parameters


def parse(**given):
    return parse_parameters(json.dumps(given))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"top_k": 5}, {"top_k": 5}),
        ({"top_k": "5"}, {"top_k": 5}),
        ({"top_k": 5.0}, {"top_k": 5}),
        ({"Top_K": "5"}, {"top_k": 5}),
        ({"top-k": "5"}, {"top_k": 5}),
        ({"min_score": "0.25"}, {"min_score": 0.25}),
        ({"image_weight": 2}, {"image_weight": 2.0}),
        ({"fields": "name, price"}, {"fields": ("name", "price")}),
        ({"fields": "-"}, {"fields": ()}),
        ({"like": "1042, 1043"}, {"like": ("1042", "1043")}),
        ({"unlike": ' ["1042", "a,b", 7]'}, {"unlike": ("1042", "a,b", "7")}),
        ({"weights": "1, -0.5"}, {"weights": (1.0, -0.5)}),
        ({"wait": True}, {"wait": True}),
        ({"wait": "false"}, {"wait": False}),
        ({"wait": "YES"}, {"wait": True}),
        ({"filter": '{"color": "navy"}'}, {"filter": {"color": "navy"}}),
    ],
)
def test_typed_values_and_strings_are_read_alike(given, expected):
    parsed = parse(**given)
    assert parsed == expected
    assert {name: type(value) for name, value in parsed.items()} == {
        name: type(value) for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"top_k": 0}, "top_k: expected a whole number from 1 to 1,000, got 0"),
        ({"top_k": -1}, "got -1"),
        ({"top_k": 10_000}, "got 10000"),
        ({"top_k": "five"}, "got 'five'"),
        ({"top_k": 2.5}, "got 2.5"),
        ({"top_k": True}, "got True"),
        ({"top_k": None}, "got None"),
        ({"image_weight": float("nan")}, "image_weight: expected a number from 0 to 1,000, got nan"),
        ({"image_weight": "NaN"}, "expected a number from 0 to 1,000, got nan"),
        ({"text_weight": "inf"}, "got inf"),
        ({"text_weight": -0.1}, "got -0.1"),
        ({"min_score": "high"}, "min_score: expected a number from -10 to 10, got 'high'"),
        ({"min_score": True}, "got True"),
        ({"wait": "maybe"}, "wait: expected true or false, got 'maybe'"),
        ({"fields": 3}, "fields: expected names, comma separated, got 3"),
        ({"fields": "name,,price"}, "none of them empty"),
        ({"filter": {}}, "filter: expected a JSON object, as a string"),
        ({"filter": "{"}, "filter: not valid JSON"),
        ({"filter": "x" * 20_000}, "20,000 characters of JSON, the limit is 16,384; shorten it"),
        (
            {"like": 1042},
            'like: expected product ids, comma separated, or a JSON list such as ["1042", "1043"], got 1042',
        ),
        ({"like": "1042,"}, "none of them empty, got '1042,'"),
        ({"like": "[]"}, "none of them empty, got '[]'"),
        ({"like": "[1.5]"}, "none of them empty, got '[1.5]'"),
        ({"unlike": '["1042"'}, "unlike: expected product ids, comma separated, or a JSON list"),
        ({"like": ",".join(["x"] * 101)}, "like: 101 products, the limit is 100; name those that tell the most"),
        ({"weights": "1,b"}, "weights: expected numbers from -1,000 to 1,000, comma separated, got '1,b'"),
        ({"weights": "1,nan"}, "comma separated, got nan"),
        ({"weights": 1}, "comma separated, got 1"),
        ({"topk": 5}, "parameter `topk` is not known here; known are at_most, boost, coll"),
    ],
)
def test_bad_values_say_what_was_expected_and_what_came(given, words):
    with pytest.raises(InvalidRequestError) as caught:
        parse(**given)
    assert words in str(caught.value)


def test_an_option_of_another_model_is_unknown():
    with pytest.raises(InvalidRequestError, match="parameter `wait` is not known here"):
        parse_parameters('{"wait": true}', MATCH_OPTIONS)


def test_a_key_is_nothing_that_a_model_reads():
    assert parse_parameters('{"Product-Match-Key": "pm_a", "wait": true}') == {"wait": True}


def test_no_parameters_at_all():
    assert parse_parameters("") == {}


def test_the_header_pattern_holds_every_option_and_nothing_else():
    pattern = re.compile(header_pattern())
    for option in ALL_OPTIONS:
        assert pattern.match(option.name)
        assert pattern.match(option.name.replace("_", "-"))
    assert pattern.match("product-match-key")
    for other in ("host", "content-length", "x-top_k", "top_k2", "topk"):
        assert not pattern.match(other)
    assert len({option.name for option in ALL_OPTIONS}) == len(MATCH_OPTIONS) + len(INDEX_OPTIONS)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": OptionType.NUMBER}, "numbers have a minimum and a maximum, others have none"),
        ({"type": OptionType.INTEGER, "minimum": 1}, "numbers have a minimum and a maximum, others have none"),
        ({"type": OptionType.NAMES, "minimum": 1, "maximum": 2}, "numbers have a minimum and a maximum"),
        ({"type": OptionType.CHOICE}, "a choice has choices, others have none"),
        ({"type": OptionType.BOOLEAN, "choices": ("a",)}, "a choice has choices, others have none"),
    ],
)
def test_an_option_is_checked_when_it_is_declared(fields, words):
    with pytest.raises(ValueError, match=f"option new: {words}"):
        OptionSpec(name="new", default="none", meaning="New.", **fields)


@pytest.mark.parametrize(("given", "read"), [("customer-7", "customer-7"), (" 4711 ", "4711"), (4711, "4711")])
def test_a_text_is_read(given, read):
    assert parse_parameters(json.dumps({"person": given})) == {"person": read}


@pytest.mark.parametrize("given", ["", "  ", "x" * 201, True, 1.5, None, ["a"]])
def test_what_is_no_text_is_refused(given):
    with pytest.raises(InvalidRequestError, match="person: expected a text of 1 to 200 characters, got"):
        parse_parameters(json.dumps({"person": given}))
