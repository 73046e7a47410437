"""The sample's judged queries hold to what their kinds promise."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"
PHOTO_KINDS = {"photo", "photo_and_words", "not_carried_photo"}
WORDLESS_KINDS = {"photo", "not_carried_photo"}
NOT_CARRIED = {"not_carried", "not_carried_photo"}
LEAST_BY_KIND = {
    "photo": 93,
    "photo_and_words": 24,
    "description": 24,
    "type": 24,
    "colour_and_type": 30,
    "brand": 12,
    "name": 20,
    "number": 16,
    "attribute": 20,
    "misspelt": 24,
    "plural": 12,
    "meaning": 16,
    "composed": 8,
    "not_carried": 60,
    "not_carried_photo": 12,
}


def read_lines(name):
    return [json.loads(line) for line in (SAMPLE_DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def products():
    return read_lines("products.jsonl")


@pytest.fixture(scope="module")
def queries():
    return read_lines("queries.jsonl")


def of_kind(queries, kind):
    return [query for query in queries if query["kind"] == kind]


def words_of(text):
    return set(re.findall(r"\w+", text.lower()))


def words_of_product(product):
    fields = [product[name] for name in ("name", "brand", "category", "color", "description")]
    return words_of(" ".join([*fields, json.dumps(product["attributes"], ensure_ascii=False)]))


def one_letter_away(word):
    """Return what `word` becomes with a letter missing, doubled, replaced, or swapped with the next."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    found = {word[:at] + word[at + 1 :] for at in range(len(word))}
    found |= {word[: at + 1] + word[at:] for at in range(len(word))}
    found |= {word[:at] + letter + word[at + 1 :] for at in range(len(word)) for letter in letters}
    found |= {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    return found - {word}


def test_every_query_has_the_fields_of_its_kind_in_order(queries):
    order = ["id", "kind", "text", "correct", "image", "like", "unlike", "filter", "accept", "why"]
    for query in queries:
        kind = query["kind"]
        needed = {"id", "kind", "accept", "why"}
        needed |= set() if kind in WORDLESS_KINDS else {"text"}
        needed |= {"image"} if kind in PHOTO_KINDS else set()
        needed |= {"misspelt": {"correct"}, "composed": {"like"}}.get(kind, set())
        may = {"unlike", "filter"} if kind == "composed" else set()
        assert needed <= set(query) <= needed | may, query["id"]
        assert list(query) == [name for name in order if name in query], query["id"]
        assert query["why"].strip(), query["id"]
        assert query.get("text", "words").strip(), query["id"]


def test_query_ids_are_numbered_and_no_two_queries_ask_the_same(queries):
    assert [query["id"] for query in queries] == [f"q{number:03d}" for number in range(1, len(queries) + 1)]
    asked = [
        (query.get("text", "").lower(), query.get("image"), *query.get("like", ()), str(query.get("filter")))
        for query in queries
    ]
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("kind", LEAST_BY_KIND)
def test_every_kind_has_enough_queries(kind, queries):
    assert {query["kind"] for query in queries} == set(LEAST_BY_KIND)
    assert len(of_kind(queries, kind)) >= LEAST_BY_KIND[kind]


def test_every_named_product_is_in_the_catalogue_and_graded_1_to_3(products, queries):
    known = {product["id"] for product in products}
    for query in queries:
        assert set(query["accept"]) <= known, query["id"]
        assert set(query["accept"].values()) <= {1, 2, 3}, query["id"]
        terms = [*query.get("like", ()), *query.get("unlike", ())]
        assert set(terms) <= known, query["id"]
        assert not set(terms) & set(query["accept"]), query["id"]


def test_nothing_is_accepted_where_the_shop_does_not_carry_it_and_something_everywhere_else(queries):
    for query in queries:
        assert bool(query["accept"]) == (query["kind"] not in NOT_CARRIED), query["id"]


def test_grades_are_listed_best_first(queries):
    for query in queries:
        listed = list(query["accept"].items())
        assert listed == sorted(listed, key=lambda graded: (-graded[1], graded[0])), query["id"]


def test_a_name_query_is_the_name_of_its_only_best_product(products, queries):
    names = {product["id"]: product["name"] for product in products}
    for query in of_kind(queries, "name"):
        best = [names[product].casefold() for product, grade in query["accept"].items() if grade == 3]
        assert best == [query["text"].casefold()], query["id"]


def test_a_number_query_is_the_id_or_the_sku_of_its_product(products, queries):
    by_id = {product["id"]: product for product in products}
    for query in of_kind(queries, "number"):
        (product,) = query["accept"]
        asked = re.sub(r"[\W_]", "", query["text"].removeprefix("sku ")).upper()
        assert asked in {product, by_id[product]["sku"].replace("-", "")}, query["id"]


def test_a_brand_query_accepts_only_its_brand(products, queries):
    brands = {product["id"]: product["brand"].casefold() for product in products}
    for query in of_kind(queries, "brand"):
        accepted = {brands[product] for product in query["accept"]}
        assert len(accepted) == 1, query["id"]
        brand = accepted.pop()
        assert query["text"].casefold().startswith(brand), query["id"]
        if query["text"].casefold() == brand:
            assert set(query["accept"]) == {product for product, other in brands.items() if other == brand}


def test_a_misspelt_query_is_one_letter_away_in_one_word_of_five_letters_or_more(products, queries):
    catalogue = set().union(*map(words_of_product, products))
    for query in of_kind(queries, "misspelt"):
        wrong, right = query["text"].lower().split(), query["correct"].lower().split()
        assert len(wrong) == len(right), query["id"]
        changed = [(typed, meant) for typed, meant in zip(wrong, right, strict=True) if typed != meant]
        ((typed, meant),) = changed
        assert len(meant) >= 5, query["id"]
        assert typed in one_letter_away(meant), query["id"]
        assert typed not in catalogue, query["id"]


def test_no_product_holds_all_words_of_a_meaning_query(products, queries):
    held = [words_of_product(product) for product in products]
    for query in of_kind(queries, "meaning"):
        assert not any(words_of(query["text"]) <= words for words in held), query["id"]


def test_a_not_carried_query_is_no_products_name_or_number(products, queries):
    taken = {
        product[field].casefold() for product in products for field in ("id", "sku", "name", "brand", "category")
    }
    for query in of_kind(queries, "not_carried"):
        assert query["text"].casefold() not in taken, query["id"]


def test_a_composed_querys_filter_passes_what_it_accepts(products, queries):
    prices = {product["id"]: product["price"] for product in products}
    filtered = [query for query in of_kind(queries, "composed") if "filter" in query]
    assert filtered
    for query in filtered:
        assert list(query["filter"]) == ["price"], query["id"]
        assert all(prices[product] <= query["filter"]["price"]["lte"] for product in query["accept"]), query["id"]
