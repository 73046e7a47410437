"""What every vector index does, whichever engine holds it."""

from __future__ import annotations

import dataclasses
import uuid

import numpy as np
import pytest

from product_match.contract.errors import ProductMatchError
from product_match.contract.filters import read_filter
from product_match.vectors.edge_index import EdgeIndex
from product_match.vectors.server_collections import ServerCollections
from product_match.vectors.server_index import ServerIndex
from product_match.vectors.swappable_index import SwappableIndex
from product_match.vectors.vector_index import Hit, Revision, VectorPoint, VectorQuery, revisions
from tests.fakes.catalogues import DIMENSION, RECIPE, unit_vector
from tests.fakes.encoders import encoder_spec
from tests.fakes.real_stores import qdrant_server


@pytest.fixture(params=["edge", "swappable", "server"])
def index(request, memory_path):
    if request.param == "server":
        with qdrant_server() as server, server.channel() as channel:
            collections = ServerCollections(channel, server.collection, encoder_spec(), RECIPE.to_json())
            collections.prepare()
            opened = ServerIndex(channel, collections.alias, timeout_s=5.0)
            yield opened
            opened.close()
        return
    opened = EdgeIndex(memory_path / "shard", DIMENSION)
    if request.param == "swappable":
        opened = SwappableIndex(opened)
    yield opened
    opened.close()


def identifier(number):
    return str(uuid.UUID(int=number + 1))


def point(number, rev=1, names=("image", "text"), **payload):
    vectors = {name: unit_vector(number + 1000 * (name == "text")) for name in names}
    return VectorPoint(id=identifier(number), rev=rev, vectors=vectors, payload=payload)


def query(vector, name="image", limit=10, **conditions):
    return VectorQuery(vector_name=name, vector=vector, limit=limit, filter=read_filter(conditions))


def ids(hits):
    return [hit.id for hit in hits]


def test_a_score_is_the_dot_product_with_the_query_as_given(index):
    index.upsert([point(n) for n in range(20)])
    given = (2.5 * unit_vector(3) - 0.5 * unit_vector(9)).astype(np.float32)
    (hits,) = index.search([query(given, limit=20)])
    expected = {identifier(n): float(unit_vector(n) @ given) for n in range(20)}
    assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_queries_of_a_batch_are_answered_in_order_each_with_its_own_limit_and_vector(index):
    index.upsert([point(n) for n in range(5)])
    queries = [query(unit_vector(n), limit=n + 1) for n in range(5)] + [query(unit_vector(1002), "text", 1)]
    answers = index.search(queries)
    assert [len(answer) for answer in answers] == [1, 2, 3, 4, 5, 1]
    assert [answer[0].id for answer in answers] == [identifier(n) for n in (0, 1, 2, 3, 4, 2)]


def test_hits_come_with_all_their_vectors_where_the_query_asks_for_them(index):
    index.upsert([point(0), point(1, names=("image",))])
    plain = query(unit_vector(0), limit=2)
    without, with_vectors = index.search([plain, dataclasses.replace(plain, with_vectors=True)])
    assert [hit.vectors for hit in without] == [{}, {}]
    assert ids(with_vectors) == ids(without)
    held = {hit.id: hit.vectors for hit in with_vectors}
    assert {id_: sorted(vectors) for id_, vectors in held.items()} == {
        identifier(0): ["image", "text"],
        identifier(1): ["image"],
    }
    np.testing.assert_allclose(held[identifier(0)]["image"], unit_vector(0), atol=1e-6)
    np.testing.assert_allclose(held[identifier(0)]["text"], unit_vector(1000), atol=1e-6)


def test_the_vectors_of_points_come_as_a_hit_has_them(index):
    index.upsert([point(0), point(1, names=("text",)), photos_of(2, 51, 52)])
    held = index.vectors([identifier(0), identifier(1), identifier(2), identifier(9)])
    assert {id_: sorted(vectors) for id_, vectors in held.items()} == {
        identifier(0): ["image", "text"],
        identifier(1): ["text"],
        identifier(2): ["image"],
    }
    np.testing.assert_allclose(held[identifier(0)]["text"], unit_vector(1000), atol=1e-6)
    np.testing.assert_allclose(held[identifier(2)]["image"], [unit_vector(51), unit_vector(52)], atol=1e-6)
    assert index.vectors([]) == {}


def test_no_queries_have_no_answers(index):
    assert index.search([]) == []


def test_a_point_without_a_vector_is_not_found_by_it(index):
    index.upsert([point(0, names=("image",)), point(1, names=("text",))])
    image, text = index.search([query(unit_vector(0)), query(unit_vector(0), "text")])
    assert ids(image) == [identifier(0)]
    assert ids(text) == [identifier(1)]


def photos_of(number, *seeds, **payload):
    return dataclasses.replace(
        point(number, **payload), vectors={"image": np.stack([unit_vector(seed) for seed in seeds])}
    )


def test_a_product_with_several_photos_is_found_by_each_once_by_its_best(index):
    index.upsert([point(n) for n in range(20)] + [photos_of(30, 5001, 5002, 5003), photos_of(31, 6001)])
    answers = index.search([query(unit_vector(seed), limit=30) for seed in (5001, 5002, 5003, 6001)])
    for answer, expected in zip(answers, (30, 30, 30, 31), strict=True):
        assert answer[0].id == identifier(expected)
        assert answer[0].score == pytest.approx(1.0, abs=1e-5)
        assert len(set(ids(answer))) == len(answer) == 22
        assert [hit.score for hit in answer] == sorted((hit.score for hit in answer), reverse=True)
    given = unit_vector(77)
    best = max(float(unit_vector(seed) @ given) for seed in (5001, 5002, 5003))
    ((*_, words), hits) = index.search([query(given, "text", 3), query(given, limit=30)])
    assert type(words) is Hit
    assert {hit.id: hit.score for hit in hits}[identifier(30)] == pytest.approx(best, abs=1e-5)


def test_photos_past_the_limit_do_not_push_better_products_out(index):
    index.upsert([photos_of(n, n, n + 500, n + 900) for n in range(40)])
    given = unit_vector(7)
    scores = {identifier(n): max(float(unit_vector(n + far) @ given) for far in (0, 500, 900)) for n in range(40)}
    (hits,) = index.search([query(given, limit=6)])
    assert ids(hits) == sorted(scores, key=scores.get, reverse=True)[:6]


def test_a_filter_holds_for_further_photos_too(index):
    index.upsert([photos_of(1, 51, 52, category="Shoes"), photos_of(2, 53, 54, category="Hats")])
    (hits,) = index.search([query(unit_vector(52), category="Hats")])
    assert ids(hits) == [identifier(2)]


def test_hits_come_with_the_vectors_of_all_photos(index):
    index.upsert([photos_of(1, 51, 52, 53), photos_of(2, 61)])
    (hits,) = index.search([dataclasses.replace(query(unit_vector(52)), with_vectors=True)])
    held = {hit.id: hit.vectors["image"] for hit in hits}
    np.testing.assert_allclose(held[identifier(1)], [unit_vector(seed) for seed in (51, 52, 53)], atol=1e-6)
    np.testing.assert_allclose(held[identifier(2)], unit_vector(61), atol=1e-6)


def test_photos_that_a_product_no_longer_has_do_not_find_it(index):
    index.upsert([photos_of(1, 51, 52, 53), point(2)])
    index.upsert([dataclasses.replace(photos_of(1, 51, 53), rev=2)])
    (hits,) = index.search([query(unit_vector(52), limit=1)])
    assert hits[0].score < 0.999
    index.upsert([dataclasses.replace(photos_of(1, 51), rev=3)])
    (hits,) = index.search([query(unit_vector(53))])
    assert hits[0].score < 0.999
    index.delete([identifier(1)])
    (hits,) = index.search([query(unit_vector(51))])
    assert ids(hits) == [identifier(2)]


def test_an_upsert_replaces_the_whole_point(index):
    index.upsert([point(0, rev=1, category="Shoes", color="red")])
    index.upsert([point(0, rev=2, names=("text",), category="Hats")])
    assert index.count() == 1
    assert index.lookup([identifier(0)]) == {identifier(0): Revision(identifier(0), 2, ("text",))}
    none, shoes, hats, red = index.search(
        [
            query(unit_vector(0)),
            query(unit_vector(0), "text", category="Shoes"),
            query(unit_vector(0), "text", category="Hats"),
            query(unit_vector(0), "text", color="red"),
        ]
    )
    assert (ids(none), ids(shoes), ids(hats), ids(red)) == ([], [], [identifier(0)], [])


def test_deleted_points_are_gone_and_unknown_ids_do_no_harm(index):
    index.upsert([point(n) for n in range(3)])
    index.delete([identifier(1), identifier(77)])
    index.delete([])
    assert index.count() == 2
    (hits,) = index.search([query(unit_vector(1))])
    assert identifier(1) not in ids(hits)


PRODUCTS = {
    0: {"category": "Shoes", "color": "navy", "price": 10},
    1: {"category": "Shoes", "color": "blue", "price": 49.99},
    2: {"category": "Hats", "color": "navy", "price": 50.0},
    3: {"category": "Hats", "brand": "Acme"},
    4: {"category": "schuh größe 42 ✓", "sku": "a.b$c"},
}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"category": "Shoes"}, {0, 1}),
        ({"category": "shoes"}, set()),
        ({"category": ["Shoes", "Hats"]}, {0, 1, 2, 3}),
        ({"category": {"not": "Shoes"}}, {2, 3, 4}),
        ({"category": {"not": ["Shoes", "Hats"]}}, {4}),
        ({"category": {"in": ["Shoes", "Hats"], "not": "Hats"}}, {0, 1}),
        ({"category": "schuh größe 42 ✓"}, {4}),
        ({"sku": "a.b$c"}, {4}),
        ({"price": 10}, {0}),
        ({"price": [10, 50]}, {0, 2}),
        ({"price": {"not": 10}}, {1, 2, 3, 4}),
        ({"price": {"gte": 10, "lt": 50}}, {0, 1}),
        ({"price": {"gt": 10, "lte": 50}}, {1, 2}),
        ({"color": "navy", "price": {"lt": 20}}, {0}),
        ({"brand": "Acme", "color": "navy"}, set()),
        ({"brand": {"exists": True}}, {3}),
        ({"price": {"exists": False}}, {3, 4}),
        ({"category": {"contains": "größe"}}, {4}),
        ({"sku": {"contains": "b$"}}, {4}),
        ({"color": {"contains": "NAVY"}}, set()),
        ({"or": [{"brand": "Acme"}, {"price": {"gte": 50}}]}, {2, 3}),
        ({"and": [{"category": "Shoes"}, {"price": {"lt": 20}}]}, {0}),
        ({"not": {"category": "Shoes", "price": {"lt": 20}}}, {1, 2, 3, 4}),
        ({"category": "Hats", "not": {"or": [{"brand": "Acme"}, {"color": "red"}]}}, {2}),
    ],
)
def test_a_filter_leaves_what_fits(index, conditions, expected):
    index.upsert([point(number, **payload) for number, payload in PRODUCTS.items()])
    (hits,) = index.search([query(unit_vector(50), **conditions)])
    assert set(ids(hits)) == {identifier(number) for number in expected}


def test_the_pages_of_revisions_hold_every_point_once_in_order(index):
    index.upsert([point(n, rev=n) for n in range(25)])
    found = list(revisions(index, page_size=7))
    assert found == [Revision(identifier(n), n, ("image", "text")) for n in range(25)]
    assert index.page(None, 3) == found[:3]
    assert index.page(found[2].id, 3) == found[3:6]
    assert index.page(found[24].id, 3) == []
    assert list(revisions(index, page_size=25)) == found


def test_lookup_leaves_out_what_is_not_there(index):
    index.upsert([point(0)])
    assert set(index.lookup([identifier(0), identifier(9)])) == {identifier(0)}
    assert index.lookup([]) == {}


def test_writing_nothing_is_no_call(index):
    index.upsert([])
    index.flush()
    assert index.count() == 0


def test_a_vector_of_the_wrong_length_is_an_error_that_says_so(index):
    with pytest.raises(ProductMatchError, match="Vector dimension error: expected dim: 4, got 3"):
        index.search([query(np.ones(3, np.float32))])


def test_a_hit_carries_plain_values(index):
    index.upsert([point(0)])
    ((hit,),) = index.search([query(unit_vector(0))])
    assert type(hit) is Hit
    assert type(hit.id) is str
    assert type(hit.score) is float
