"""Facets, sorting and what else shapes an answer are those of a plain reading of the products."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from product_match.contract.errors import InvalidRequestError
from product_match.retrieval.shaping import MOST_VALUES, facet_counts
from product_match.retrieval.walking import MISSES
from tests.fakes.shops import BRANDS, COLOURS, KINDS, MemoryShop, ids, random_products

SHOP = MemoryShop(random_products(300, seed=3), seed=3)
TEXTS = st.tuples(st.sampled_from(("", *COLOURS)), st.sampled_from((*KINDS, "sofa"))).map(" ".join).map(str.strip)


def confident(text, least=0.2, **parameters):
    """Read the ranks one by one, until so many in a row do not fit."""
    found, misses = [], 0
    for match in SHOP.row(text, top_k=220, **parameters)["matches"]:
        fits = match["confidence"] >= least
        misses = 0 if fits else misses + 1
        found += [match["product"]] if fits else []
        if misses >= MISSES and match["rank"] >= 48:
            break
    return found


def plain_facets(held):
    counted = {}
    for name in ("category", "brand"):
        values = [product[name] for product in held if name in product]
        every = sorted(set(values), key=lambda value: (-values.count(value), value))
        counted[name] = {
            "products": len(values),
            "values": [{"value": value, "count": values.count(value)} for value in every],
        }
    prices = [product["price"] for product in held if "price" in product]
    bounds = {"least": min(prices), "greatest": max(prices)} if prices else {}
    return {**counted, "price": {"products": len(prices), **bounds}}


@hypothesis.given(TEXTS, st.sampled_from([None, 0.0, 0.3, 0.9]), st.sampled_from([{}, {"color": ["red", "navy"]}]))
@hypothesis.settings(max_examples=25, deadline=None)
def test_facets_count_the_confident_set(text, least, conditions):
    given = {"filter": conditions} if conditions else {}
    cut = {} if least is None else {"min_confidence": least}
    row = SHOP.row(text, facets=("category", "brand", "price"), **given, **cut)
    assert row["facets"] == plain_facets(confident(text, 0.2 if least is None else least, **given))
    # Counting leaves the matches as they are.
    assert row["matches"] == SHOP.row(text, **given, **cut)["matches"]


@hypothesis.given(
    TEXTS,
    st.lists(st.sampled_from(["price", "-price", "brand", "-color", "id"]), min_size=1, max_size=3, unique_by=str),
    st.integers(1, 40),
)
@hypothesis.settings(max_examples=25, deadline=None)
def test_sorting_orders_the_confident_set_and_pages_go_through_it(text, keys, size):
    hypothesis.assume(len({key.strip("-") for key in keys}) == len(keys))
    expected = sorted(confident(text), key=lambda product: product["id"])
    for key in reversed(keys):
        name, turned = key.strip("-"), key.startswith("-")
        having = sorted((p for p in expected if name in p), key=lambda p: p[name], reverse=turned)
        expected = having + [product for product in expected if name not in product]
    pages = []
    while len(pages) < len(expected):
        pages += SHOP.row(text, sort=tuple(keys), top_k=size, offset=len(pages))["matches"]
    assert [match["product"] for match in pages] == expected
    assert [match["rank"] for match in pages] == list(range(1, len(pages) + 1))


def test_a_sorted_page_past_the_end_says_how_many_fit():
    fitting = len(confident("navy dress"))
    with pytest.raises(InvalidRequestError, match=f"offset: 200 is past the end, {fitting} products were found"):
        SHOP.row("navy dress", sort=("price",), offset=200)


def test_products_are_read_with_two_calls_at_most():
    shop = MemoryShop(random_products(300, seed=3), seed=3)
    shop.row("navy dress")
    shop.row("navy dress", facets=("brand",), min_confidence=0.999)
    assert [len(ids) for ids in shop.fetches] == [12, 54]
    shop.fetches.clear()
    shop.row("navy dress", facets=("brand",), min_confidence=0.0)
    assert [len(ids) for ids in shop.fetches] == [54, 220 - 54]


def test_facets_of_nothing_are_empty():
    row = SHOP.row("sofa", facets=("brand", "price"))
    assert row["facets"] == {"brand": {"products": 0, "values": []}, "price": {"products": 0}}


def test_only_the_most_frequent_values_are_counted():
    held = [{"sku": f"s{number:03}"} for number in range(MOST_VALUES + 20)] + [{"sku": "s119"}]
    counted = facet_counts(["sku"], held)["sku"]
    assert (counted["products"], len(counted["values"])) == (MOST_VALUES + 21, MOST_VALUES)
    assert counted["values"][:2] == [{"value": "s119", "count": 2}, {"value": "s000", "count": 1}]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"facets": ("weight",)},
            "facets: there is no field `weight`; known fields are category, color, b",
        ),
        ({"facets": ("brand", "brand")}, "facets: brand stands twice; name each field once"),
        (
            {"sort": ("-weight",)},
            "sort: there is no field `weight`; known fields are category, color, brand",
        ),
        ({"sort": ("price", "-price")}, "sort: price stands twice; name each field once"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(parameters, words):
    with pytest.raises(InvalidRequestError) as caught:
        SHOP.row("navy dress", **parameters)
    assert words in str(caught.value)


def test_a_sorted_answer_is_part_of_a_ranked_one():
    ranked, by_price = SHOP.row("navy dress", top_k=200), SHOP.row("navy dress", top_k=200, sort=("price",))
    assert set(ids(by_price)) < set(ids(ranked))
    assert by_price["outcome"] == ranked["outcome"]
    assert set(BRANDS) >= {match["product"].get("brand", "Acme") for match in by_price["matches"]}
