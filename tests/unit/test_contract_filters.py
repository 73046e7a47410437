"""Filters are read from JSON with messages that name the field, and mean the same to every store."""

from __future__ import annotations

import json

import pytest

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.contract.filters import FieldFilter, ProductFilter, parse_filter, read_filter
from product_match.documents.filters import lookup_queries, mongo_query


def only(field_filter):
    return ProductFilter(fields=(field_filter,))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"category": "Shoes"}, FieldFilter(field="category", any_of=("Shoes",))),
        ({"category": {"eq": "Shoes"}}, FieldFilter(field="category", any_of=("Shoes",))),
        ({"color": ["navy", "blue"]}, FieldFilter(field="color", any_of=("navy", "blue"))),
        ({"color": {"in": ["navy"]}}, FieldFilter(field="color", any_of=("navy",))),
        ({"brand": {"not": "Acme"}}, FieldFilter(field="brand", none_of=("Acme",))),
        ({"brand": {"not": ["A", "B"]}}, FieldFilter(field="brand", none_of=("A", "B"))),
        ({"price": 5}, FieldFilter(field="price", any_of=(5.0,))),
        ({"price": {"gte": 10, "lt": 50}}, FieldFilter(field="price", gte=10.0, lt=50.0)),
        ({"price": {"gt": 1, "lte": 2, "not": 1.5}}, FieldFilter(field="price", gt=1.0, lte=2.0, none_of=(1.5,))),
    ],
)
def test_a_filter_is_read_from_its_json(given, expected):
    assert parse_filter(json.dumps(given)) == only(expected)


@pytest.mark.parametrize("given", ["{}", "null"])
def test_a_filter_that_excludes_nothing_is_none(given):
    assert parse_filter(given) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ("[" * 5000, "not valid JSON"),
        ('{"weight": 5}', "`weight` cannot be filtered on; known fields are category, color, brand, sku, price"),
        ('{"or": {}}', "filter: `or` takes a list of filters, got {}"),
        ('{"and": []}', "filter: `and` takes a list of filters, got []"),
        ('{"or": [{}]}', "filter: `or` holds {}, which is no filter; write conditions such as"),
        ('{"not": [1]}', "filter: `not` holds [1], which is no filter"),
        ('{"or": [{"weight": 5}]}', "`weight` cannot be filtered on"),
        (
            '{"not":' * 9 + '{"brand": "A"}' + "}" * 9,
            "filter: more than 8 filters inside one another; write it flatter",
        ),
        ('{"brand": {"exists": 1}}', "brand.exists must be true or false, got 1"),
        ('{"brand": {"contains": ""}}', "brand.contains must be text that is not empty, got ''"),
        ('{"price": {"contains": "5"}}', "contains works on text, and price holds numbers; use gte, gt, lte, lt"),
        ('{"category": {}}', "category has no condition; known operators are eq, in, not, gte"),
        ('{"category": {"like": "S"}}', "category has the unknown operator `like`; known operators are eq, in, not"),
        ('{"category": {"eq": "a", "in": ["b"]}}', "category has both `eq` and `in`"),
        ('{"category": {"in": "a"}}', "category.in must be a list, got str"),
        ('{"category": {"eq": ["a"]}}', "category.eq must be one value, got a list; use `in`"),
        ('{"category": []}', "category.in is an empty list, which nothing fits"),
        ('{"category": 5}', "category holds text, got 5; put it in quotes"),
        ('{"category": null}', "category holds text, got None"),
        ('{"category": {"gte": 5}}', "gte works on numbers (price), and category holds text"),
        ('{"price": "cheap"}', "price holds numbers, got 'cheap'; send a finite number"),
        ('{"price": {"lt": true}}', "price holds numbers, got True"),
        ('{"price": {"lt": NaN}}', "price holds numbers, got nan"),
    ],
)
def test_a_wrong_filter_is_refused_with_what_to_do(given, words):
    with pytest.raises(InvalidRequestError) as caught:
        parse_filter(given)
    assert words in str(caught.value)


def test_filters_inside_filters_become_a_query_on_documents():
    given = {
        "and": [{"color": "a"}],
        "or": [{"brand": "B"}, {"brand": {"exists": False}}],
        "not": {"price": {"lt": 2}},
    }
    assert mongo_query(read_filter(given)) == {
        "$and": [
            {"product.color": {"$in": ["a"]}},
            {"$or": [{"product.brand": {"$in": ["B"]}}, {"$and": [{"product.brand": {"$in": [None]}}]}]},
        ],
        "$nor": [{"product.price": {"$lt": 2.0}}],
    }
    assert mongo_query(read_filter({"sku": {"exists": True, "contains": "a.b"}})) == {
        "product.sku": {"$regex": r"a\.b"},
        "$nor": [{"product.sku": {"$in": [None]}}],
    }


def test_a_filter_is_taken_apart_and_put_together_again():
    given = {"color": "a", "or": [{"brand": "B"}], "and": [{"brand": "C"}], "not": {"sku": "d"}, "price": 1}
    found = read_filter(given)
    assert [name for name, _ in found.parts()] == ["color", "price", "and", "or", "not"]
    assert ProductFilter.joined([part for _, part in found.parts()]) == found


def test_a_filter_longer_than_the_limit_is_refused():
    with pytest.raises(InvalidRequestError, match="filter: longer than 16,384 bytes"):
        parse_filter(json.dumps({"category": "x" * limits.MAX_FILTER_BYTES}))


def test_a_list_longer_than_the_limit_is_refused():
    values = [str(n) for n in range(limits.MAX_FILTER_VALUES + 1)]
    with pytest.raises(InvalidRequestError, match=r"sku\.in has 1001 values, the limit is 1000"):
        read_filter({"sku": values})


def test_a_filter_becomes_a_query_on_documents():
    found = read_filter({"color": ["a", "b"], "price": {"gte": 1, "lt": 2}, "brand": {"not": "C"}})
    assert mongo_query(found) == {
        "product.color": {"$in": ["a", "b"]},
        "product.price": {"$gte": 1.0, "$lt": 2.0},
        "product.brand": {"$nin": ["C"]},
    }


@pytest.mark.parametrize(
    ("given", "queries"),
    [
        ({"category": "Shoes"}, [{"product.category": {"$eq": "Shoes"}}]),
        (
            {"category": ["Shoes", "Hats", "Shoes"], "price": {"gte": 1}},
            [
                {"product.category": {"$eq": "Shoes"}, "product.price": {"$gte": 1.0}},
                {"product.category": {"$eq": "Hats"}, "product.price": {"$gte": 1.0}},
            ],
        ),
        (
            {"category": {"in": ["Shoes"], "not": "Hats"}, "color": ["red", "blue"], "brand": "Acme"},
            [
                {
                    "product.category": {"$eq": "Shoes", "$nin": ["Hats"]},
                    "product.color": {"$in": ["red", "blue"]},
                    "product.brand": {"$eq": "Acme"},
                }
            ],
        ),
        ({"price": {"gte": 1, "lt": 2}}, [{"product.price": {"$gte": 1.0, "$lt": 2.0}}]),
        (
            {"price": {"gte": 1}, "brand": {"not": "A"}},
            [{"product.price": {"$gte": 1.0}, "product.brand": {"$nin": ["A"]}}],
        ),
        ({"brand": {"not": "Acme"}}, None),
        ({"sku": [str(number) for number in range(33)]}, None),
    ],
)
def test_a_filter_is_looked_up_by_indexes_where_it_says_what_a_field_is(given, queries):
    assert lookup_queries(read_filter(given)) == queries
