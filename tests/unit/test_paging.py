"""Pages hold every match once, in one order, however they are cut."""

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from tests.fakes.shops import MemoryShop, ids, photo, random_products, unit, words

SHOP = MemoryShop(random_products(400), gone=("p3", "p77"))


def rows(request):
    (answer,) = SHOP.ask(request)
    return json.loads(answer["matches"][0, 0])


def parameters(**given):
    return {"fields": (), **given}


QUERIES = {
    "words": lambda **given: words("navy dress", **parameters(**given)),
    "a word that no product has": lambda **given: words("sofa", **parameters(**given)),
    "photo": lambda **given: photo(unit(1, 2, 3, 4), **parameters(**given)),
    "like": lambda **given: words("", **parameters(like=("p1", "p2"), unlike=("p9",), **given)),
    "like and words": lambda **given: words("red hat", **parameters(like=("p1",), **given)),
    "filtered": lambda **given: words("red hat", **parameters(filter={"color": ["red", "blue"]}, **given)),
    "ranks": lambda **given: words("navy dress", **parameters(fusion="rrf", **given)),
}


@pytest.mark.parametrize("query", QUERIES)
@hypothesis.given(cuts=st.lists(st.integers(1, 90), min_size=1, max_size=5))
@hypothesis.settings(max_examples=6, deadline=None)
def test_pages_of_any_size_together_are_one_long_answer(query, cuts):
    whole = rows(QUERIES[query](top_k=sum(cuts)))["matches"]
    pages = []
    for size in cuts:
        if len(pages) < len(whole):
            pages += rows(QUERIES[query](top_k=size, offset=len(pages)))["matches"]
    found = [(match["rank"], match["product_id"], match["score"], match["confidence"]) for match in pages]
    assert found == [(m["rank"], m["product_id"], m["score"], m["confidence"]) for m in whole]


@pytest.mark.parametrize("query", ["words", "photo", "like"])
def test_the_last_page_ends_with_the_last_product_and_each_stands_once(query):
    found = rows(QUERIES[query](top_k=1000))["matches"]
    named = 3 if query == "like" else 0
    assert len(found) == len({match["product_id"] for match in found}) == 400 - 2 - named
    scores = [match["score"] for match in found]
    assert scores == sorted(scores, reverse=True)
    assert len(rows(QUERIES[query](top_k=100, offset=len(found) - 30))["matches"]) == 30


def test_a_page_past_the_end_says_how_many_there_are():
    with pytest.raises(InvalidRequestError) as caught:
        SHOP.row("navy dress", filter={"color": "navy"}, top_k=10, offset=900)
    navy = sum(product["color"] == "navy" for product in SHOP.products.values())
    expected = f"offset: 900 is past the end, {navy} products were found; begin with an offset of 0"
    gone = sum(SHOP.products[id_]["color"] == "navy" for id_ in SHOP.gone)
    assert str(caught.value) == expected.replace(str(navy), str(navy - gone))


def test_a_page_past_the_end_fails_its_request_alone_and_names_the_row():
    good, failed = SHOP.ask(words("navy dress"), words("navy dress", offset=500))
    assert json.loads(good["matches"][0, 0])["matches"]
    assert isinstance(failed, InvalidRequestError)


def test_a_page_behind_the_last_match_that_can_be_had_is_refused():
    with pytest.raises(InvalidRequestError, match="offset 995 and top_k 10 reach past match 1,000, the last that"):
        SHOP.row("navy dress", top_k=10, offset=995)
    assert limits.MAX_TOP_K == 1000


def test_a_second_page_is_of_the_same_outcome_and_its_ranks_go_on():
    first, second = (SHOP.row("navy dress", top_k=5, offset=offset) for offset in (0, 5))
    assert first["outcome"] == second["outcome"]
    assert [match["rank"] for match in second["matches"]] == [6, 7, 8, 9, 10]
    assert not set(ids(first)) & set(ids(second))
