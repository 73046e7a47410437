"""Facets, sorting and what else shapes an answer are those of a plain reading of the products."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import point_id
from product_match.retrieval.grouping import cosines
from product_match.retrieval.rows import POOL
from product_match.retrieval.shaping import MOST_VALUES, facet_counts
from product_match.retrieval.walking import MISSES
from tests.fakes.shops import BRANDS, COLOURS, KINDS, MemoryShop, ids, random_products, unit, words

SHOP = MemoryShop(random_products(300, seed=3), seed=3)
TEXTS = st.tuples(st.sampled_from(("", *COLOURS)), st.sampled_from((*KINDS, "sofa"))).map(" ".join).map(str.strip)


def confident(text, least=0.2, **parameters):
    """Read the ranks one by one, until so many in a row do not fit."""
    found, misses = [], 0
    for match in SHOP.row(text, top_k=POOL, **parameters)["matches"]:
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


def test_products_are_read_with_one_call():
    shop = MemoryShop(random_products(300, seed=3), seed=3)
    shop.ask(words("navy dress"), words("navy dress", facets=("brand",)), words("red hat", group_by=("brand",)))
    assert len(shop.fetches) == 1


def test_only_what_is_shown_or_counted_is_assessed(monkeypatch):
    shop, assessed = MemoryShop(random_products(300, seed=3), seed=3), []
    assess = shop.service._assessor.assess
    monkeypatch.setattr(shop.service._assessor, "assess", lambda *a, **k: assessed.append(1) or assess(*a, **k))
    shop.row("navy dress", at_most={"brand": 1}, top_k=2)
    assert len(assessed) <= 5
    assessed.clear()
    shop.row("navy dress", top_k=5, offset=50)
    assert len(assessed) == 3 + 5
    assessed.clear()
    shop.row("sofa", facets=("brand",))
    assert len(assessed) == 48


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


def pool(text):
    """The ranks that are looked at."""
    return SHOP.row(text, top_k=POOL)["matches"]


def shaped(text, **parameters):
    return SHOP.row(text, top_k=220, **parameters)["matches"]


@hypothesis.given(TEXTS, st.sampled_from(["brand", "color", "category", "price"]))
@hypothesis.settings(max_examples=15, deadline=None)
def test_groups_hold_their_variants_in_order(text, name):
    groups = {}
    for match in pool(text):
        value = match["product"].get(name)
        groups.setdefault(match["product_id"] if value is None else ("value", value), []).append(match["product_id"])
    found = shaped(text, group_by=(name,))
    inside = [
        [match["product_id"], *(variant["product_id"] for variant in match.get("variants", []))] for match in found
    ]
    assert inside == [group[:21] for group in groups.values()]


@hypothesis.given(TEXTS, st.integers(1, 4), st.integers(1, 4))
@hypothesis.settings(max_examples=15, deadline=None)
def test_at_most_so_many_of_a_value_are_kept(text, brands, colours):
    kept, seen = [], []
    for match in pool(text):
        brand, colour = match["product"].get("brand"), match["product"]["color"]
        if (brand is None or seen.count(brand) < brands) and seen.count(colour) < colours:
            seen += [colour] if brand is None else [brand, colour]
            kept.append(match["product_id"])
    assert ids({"matches": shaped(text, at_most={"brand": brands, "color": colours})}) == kept


@hypothesis.given(
    TEXTS,
    st.lists(st.tuples(st.sampled_from(COLOURS), st.sampled_from([-0.5, -0.1, 0.2, 0.4])), min_size=1, max_size=4),
)
@hypothesis.settings(max_examples=15, deadline=None)
def test_boosts_add_up_within_bounds(text, given):
    expected = []
    for match in pool(text):
        by = max(-0.5, min(0.5, sum(by for colour, by in given if colour == match["product"]["color"])))
        expected.append((match["score"] + abs(match["score"]) * by, match["product_id"]))
    expected.sort(key=lambda item: -item[0])
    boosts = [{"filter": {"color": colour}, "by": by} for colour, by in given]
    found = shaped(text, boost=boosts)
    assert [match["score"] for match in found] == pytest.approx([score for score, _ in expected], abs=1e-5)
    assert {match["product_id"] for match in found} == {product_id for _, product_id in expected}


def vectors_of(match, name="image"):
    return SHOP.index.vectors([point_id(match["product_id"])])[point_id(match["product_id"])][name]


@pytest.mark.parametrize("similarity", [0.7, 0.95])
def test_near_duplicates_are_put_into_the_first_of_them(similarity):
    firsts = {}
    for match in pool("navy dress"):
        same = [
            first for first in firsts if float(vectors_of({"product_id": first}) @ vectors_of(match)) >= similarity
        ]
        if same:
            firsts[same[0]].append(match["product_id"])
        else:
            firsts[match["product_id"]] = []
    found = shaped("navy dress", collapse=similarity)
    assert {match["product_id"]: match.get("duplicates", []) for match in found} == firsts
    assert list(firsts) == ids({"matches": found})


@pytest.mark.parametrize("diversity", [0.2, 0.8])
def test_diversity_is_maximal_marginal_relevance(diversity):
    left, chosen = pool("navy dress"), []
    while left:

        def worth(match):
            likeness = [(float(vectors_of(other) @ vectors_of(match)) - 0.5) / 0.5 for other in chosen]
            return (1 - diversity) * match["score"] - diversity * min(1.0, max([0.0, *likeness]))

        best = max(left, key=worth)
        left.remove(best)
        chosen.append(best)
    found = ids({"matches": shaped("navy dress", diversity=diversity)})
    assert found[:20] == ids({"matches": chosen})[:20]
    assert found != ids({"matches": pool("navy dress")})


def test_pages_go_through_a_shaped_answer():
    whole = shaped("navy dress", group_by=("color",), boost=[{"filter": {"brand": "Acme"}, "by": 0.3}])
    pages = []
    while len(pages) < len(whole):
        page = SHOP.row(
            "navy dress",
            group_by=("color",),
            boost=[{"filter": {"brand": "Acme"}, "by": 0.3}],
            top_k=2,
            offset=len(pages),
        )
        pages += page["matches"]
    assert pages == whole


def test_why_says_what_was_done_to_a_match():
    found = shaped("navy dress", boost=[{"filter": {"brand": "Acme"}, "by": 0.3}], explain=True)
    acme = next(match for match in found if match["product"].get("brand") == "Acme")
    assert acme["explain"]["shape"]["boost"] == 0.3
    assert acme["explain"]["shape"]["ranked"] >= acme["rank"]
    assert "boost" not in next(m for m in found if m["product"].get("brand") != "Acme")["explain"]["shape"]


def test_vectors_are_read_with_one_call_for_a_batch_and_only_where_they_are_compared():
    shop = MemoryShop(random_products(100, seed=3), seed=3)
    shop.ask(
        words("navy dress", collapse=0.9), words("red hat", diversity=0.5), words("red hat", group_by=("brand",))
    )
    assert len(shop.index.examples) == 1
    shop.row("red hat", group_by=("brand",))
    assert len(shop.index.examples) == 1


def test_products_without_a_vector_are_no_duplicates():
    held = {"a": {"image": unit(1, 0, 0, 0)}, "b": {"text": unit(1, 0, 0, 0)}, "c": {"text": unit(1, 0, 0, 0)}}
    alike = cosines(["a", "b", "c", "d"], held)
    assert alike.round(3).tolist() == [[1, -1, -1, -1], [-1, 1, 1, -1], [-1, 1, 1, -1], [-1, -1, -1, -1]]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"boost": {}}, "boost: expected a JSON list of 1 to 50 boosts such as"),
        ({"boost": []}, "boost: expected a JSON list of 1 to 50 boosts such as"),
        ({"boost": [{"by": 0.1}]}, "boost: a boost has a `filter` and `by`, got {'by': 0.1}"),
        ({"boost": [{"filter": {"brand": "A"}, "by": 2}]}, "boost: `by` is a number from -0.5 to 0.5, got 2"),
        (
            {"boost": [{"filter": {}, "by": 0.1}]},
            "boost: an empty `filter` fits every product, which changes",
        ),
        ({"boost": [{"filter": {"weight": 1}, "by": 0.1}]}, "`weight` cannot be filtered on"),
        ({"at_most": []}, 'at_most: expected a JSON object such as {"brand": 2}, got []'),
        ({"at_most": {"brand": 0}}, "at_most: brand takes a whole number from 1, got 0"),
        ({"at_most": {"weight": 1}}, "at_most: there is no field `weight`"),
        ({"group_by": ("brand", "color")}, "group_by: takes one field, got brand, color"),
        ({"group_by": ("weight",)}, "group_by: there is no field `weight`"),
        ({"sort": ("price",), "diversity": 0.5}, "sort and diversity: each is an order of its own; give one of them"),
    ],
)
def test_what_cannot_be_done_is_refused(parameters, said):
    with pytest.raises(InvalidRequestError) as caught:
        SHOP.row("navy dress", **parameters)
    assert said in str(caught.value)


def test_what_is_browsed_is_sorted_and_counted_only():
    with pytest.raises(InvalidRequestError, match="with a filter alone, give `sort` and `facets`"):
        SHOP.row(filter={"color": "red"}, group_by=("brand",))
