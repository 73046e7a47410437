"""A filter alone is browsed: all that fits, sorted, a page at a time, with counts."""

from __future__ import annotations

import json

import pytest

from product_match.contract.errors import InvalidRequestError, UnavailableError
from product_match_client import requests
from product_match_client.requests import Query
from tests.fakes.shops import MemoryShop, ids, random_products, words

SHOP = MemoryShop(random_products(120, seed=5), seed=5)
RED = {"color": "red"}


def red():
    return [product for product in SHOP.products.values() if product["color"] == "red"]


def test_a_filter_alone_shows_all_that_fits_in_the_order_of_ids():
    row = SHOP.row(filter=RED, top_k=1000)
    assert ids(row) == sorted(product["id"] for product in red())
    assert (row["total"], row["outcome"]) == (len(red()), "matched")
    assert {(match["score"], match["confidence"]) for match in row["matches"]} == {(0.0, 1.0)}


def test_pages_are_sorted_and_go_through_all_of_it():
    pages = []
    while len(pages) < len(red()):
        pages += SHOP.row(filter=RED, sort=("-price",), top_k=7, offset=len(pages))["matches"]
    prices = [match["product"].get("price", -1) for match in pages]
    assert prices == sorted(prices, reverse=True)
    assert [match["rank"] for match in pages] == list(range(1, len(red()) + 1))


def test_facets_count_all_of_it():
    row = SHOP.row(filter=RED, facets=("category", "price"), top_k=1)
    kinds = [product["category"] for product in red()]
    expected = sorted(set(kinds), key=lambda kind: (-kinds.count(kind), kind))
    assert row["facets"]["category"]["products"] == len(kinds)
    assert row["facets"]["category"]["values"] == [{"value": kind, "count": kinds.count(kind)} for kind in expected]
    prices = [product["price"] for product in red() if "price" in product]
    assert row["facets"]["price"] == {"products": len(prices), "least": min(prices), "greatest": max(prices)}


def test_a_filter_that_nothing_fits_shows_nothing():
    row = SHOP.row(filter={"color": "none"}, facets=("brand", "price"))
    assert (row["total"], row["outcome"], row["matches"]) == (0, "not_stocked", [])
    assert row["facets"] == {"brand": {"products": 0, "values": []}, "price": {"products": 0}}


def test_an_order_alone_shows_everything():
    assert SHOP.row(sort=("price",))["total"] == 120


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (
            {"filter": RED, "sort": ("price", "brand")},
            "sort: what is browsed is sorted by one field, got price, brand",
        ),
        ({"filter": RED, "offset": 900}, f"offset: 900 is past the end, {len(red())} products were found"),
        ({"facets": ("brand",)}, "or products that it is `like`; or a `filter` to browse"),
        ({}, "no photo and no words came (0 bytes); send `image_bytes`, `query_text`, or both;"),
    ],
)
def test_what_cannot_be_browsed_is_refused_alone(parameters, said):
    good, failed = SHOP.ask(words("red tee"), words("", **parameters))
    assert isinstance(failed, InvalidRequestError)
    assert said in str(failed)
    assert json.loads(good["matches"][0, 0])["matches"]


def test_a_store_that_is_away_fails_what_is_browsed_alone(monkeypatch):
    def away(shelf):
        raise UnavailableError("the document store does not answer")

    monkeypatch.setattr(SHOP, "browse", away)
    good, failed = SHOP.ask(words("red tee"), words("", filter=RED))
    assert isinstance(failed, UnavailableError)
    assert json.loads(good["matches"][0, 0])["matches"]


def test_searching_and_browsing_in_one_batch_keep_their_places():
    answers = SHOP.ask(words("", filter=RED), words("navy hat"), words("", filter={"color": "navy"}))
    rows = [json.loads(answer["matches"][0, 0]) for answer in answers]
    assert [row.get("total") is not None for row in rows] == [True, False, True]
    assert {match["product"]["color"] for match in rows[2]["matches"]} == {"navy"}


def test_a_client_needs_no_photo_and_no_words_to_browse():
    for option in ({"filter": RED}, {"sort": "price"}):
        sent = requests.match_request([Query()], requests.match_parameters(option))
        assert (sent.model, sent.columns) == ("product_match_text", {"query_text": [b""]})
