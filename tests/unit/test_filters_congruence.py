"""Every store means by a filter what a person reads in it: documents, the embedded engine and a server's messages."""

from __future__ import annotations

import dataclasses
import random
import uuid
from collections import Counter

import hypothesis
import pytest
from hypothesis import strategies as st

from product_match.contract import fitting
from product_match.contract.filters import read_filter
from product_match.contract.products import point_id
from product_match.contract.sorting import SortKey
from product_match.documents.browsing import Bounds, Shelf, browse
from product_match.documents.selection import fitting_page
from product_match.documents.store import open_documents
from product_match.documents.writing import write_products
from product_match.settings import Secret, ServingSettings
from product_match.vectors.edge_index import EdgeIndex
from product_match.vectors.server_channel import QdrantChannel
from product_match.vectors.server_collections import ServerCollections
from product_match.vectors.server_index import ServerIndex
from product_match.vectors.vector_index import VectorPoint, VectorQuery
from tests.fakes.catalogues import DIMENSION, RECIPE, product_write, unit_vector
from tests.fakes.encoders import encoder_spec
from tests.fakes.plain_filters import fits
from tests.fakes.qdrant_server import FakeQdrant

WORDS = ("Hats", "hats", "A.b$c", "Schuh größe 42", "navy blue", "")
NUMBERS = (0, 1, 2.5, 10, 49.99, -3)
KEYWORDS = ("category", "color", "brand", "sku")

keyword_conditions = st.one_of(
    st.sampled_from(WORDS),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
    st.fixed_dictionaries(
        {},
        optional={
            "in": st.lists(st.sampled_from(WORDS), min_size=1, max_size=3),
            "not": st.sampled_from(WORDS),
            "contains": st.sampled_from(["a", "Hats", "größe 4", ".b$", "lue"]),
            "exists": st.booleans(),
        },
    ).filter(bool),
)
number_conditions = st.one_of(
    st.sampled_from(NUMBERS),
    st.fixed_dictionaries(
        {},
        optional={
            "gte": st.sampled_from(NUMBERS),
            "lt": st.sampled_from(NUMBERS),
            "not": st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=2),
            "exists": st.booleans(),
        },
    ).filter(bool),
)
plain_filters = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(KEYWORDS, keyword_conditions), "price": number_conditions}
).filter(bool)
filters = st.recursive(
    plain_filters,
    lambda inner: st.builds(
        lambda first, joined: {**first, **joined},
        plain_filters,
        st.fixed_dictionaries(
            {},
            optional={
                "and": st.lists(inner, min_size=1, max_size=2),
                "or": st.lists(inner, min_size=1, max_size=3),
                "not": inner,
            },
        ),
    ),
    max_leaves=4,
)


def random_fields(seed=7, count=60):
    chance = random.Random(seed)
    for number in range(count):
        fields = {name: chance.choice(WORDS) for name in KEYWORDS if chance.random() < 0.7}
        if chance.random() < 0.7:
            fields["price"] = chance.choice(NUMBERS)
        # A field that is null is a field that is not there.
        fields.update((name, None) for name in KEYWORDS if name not in fields and chance.random() < 0.2)
        yield number, fields


@pytest.fixture(scope="module")
def stores(document_server, tmp_path_factory):
    """The same products in every store."""
    directory = tmp_path_factory.mktemp("congruence")
    (directory / "encoder.json").write_text(encoder_spec().to_json(), encoding="utf-8")
    settings = ServingSettings(
        encoder_directory=directory,
        mongodb_uri=Secret(document_server.uri),
        collection=f"products_{uuid.uuid4().hex[:12]}",
        index_directory=directory / "index",
        owner_socket=directory / "owner.sock",
        store_timeout_s=5.0,
    )
    documents = open_documents(settings, encoder_spec().identity)
    products = {f"p{number}": fields for number, fields in random_fields()}
    write_products(
        documents,
        [
            # As they are: `product_write` leaves out what is null.
            dataclasses.replace(product_write(int(id_[1:])), product={"id": id_, "name": id_, **fields})
            for id_, fields in products.items()
        ],
    )
    with FakeQdrant() as fake:
        channel = QdrantChannel(fake.address)
        collections = ServerCollections(channel, "products", encoder_spec(), RECIPE.to_json())
        collections.prepare()
        engines = [EdgeIndex(directory / "shard", DIMENSION), ServerIndex(channel, collections.alias, timeout_s=5.0)]
        points = [
            VectorPoint(
                id=point_id(id_),
                rev=1,
                vectors={"image": unit_vector(1)},
                payload={name: value for name, value in fields.items() if value is not None},
            )
            for id_, fields in products.items()
        ]
        for engine in engines:
            engine.upsert(points)
        yield products, documents, engines
        for engine in engines:
            engine.close()
    documents.close()


@hypothesis.given(given=filters)
@hypothesis.settings(max_examples=100, deadline=None)
def test_a_filter_finds_the_same_products_everywhere(stores, given):
    products, documents, engines = stores
    read = read_filter(given)
    expected = {id_ for id_, fields in products.items() if fits(read, fields)}
    found = {document["product_id"] for document in fitting_page(documents, read, "", 1000, {"product_id": 1})}
    assert found == expected
    assert documents.count(read) == len(expected)
    for engine in engines:
        query = VectorQuery(vector_name="image", vector=unit_vector(1), limit=100, filter=read)
        assert {hit.id for hit in engine.search([query])[0]} == {point_id(id_) for id_ in expected}
        values = [products[id_]["brand"] for id_ in expected if products[id_].get("brand") is not None]
        assert engine.value_counts("brand", read, 100) == Counter(values)


@hypothesis.given(
    st.one_of(st.none(), filters),
    st.sampled_from(["id", "-id", "price", "-price", "brand", "-color"]),
    st.integers(0, 30),
    st.integers(1, 30),
)
@hypothesis.settings(max_examples=100, deadline=None)
def test_a_shelf_shows_what_fits_in_order(stores, given, key, offset, limit):
    products, documents, _ = stores
    read = None if given is None else read_filter(given)
    name, turned = key.strip("-"), key.startswith("-")
    held = [{"id": id_, **fields} for id_, fields in products.items() if read is None or fits(read, fields)]
    held.sort(key=lambda product: product["id"])
    having = [product for product in held if product.get(name) is not None]
    having.sort(key=lambda product: product[name], reverse=turned)
    expected = having + [product for product in held if product.get(name) is None]
    shown = browse(
        documents, Shelf(filter=read, sort=SortKey(name, turned), offset=offset, limit=limit, numbers=("price",))
    )
    assert [product["id"] for product in shown.products] == [p["id"] for p in expected[offset : offset + limit]]
    assert shown.total == len(held)
    prices = [product["price"] for product in held if product.get("price") is not None]
    assert shown.bounds == {"price": Bounds(len(prices), min(prices), max(prices)) if prices else None}


@hypothesis.given(given=filters)
@hypothesis.settings(max_examples=100, deadline=None)
def test_a_filter_is_read_as_it_is_written(given):
    read = read_filter(given)
    for _, fields in random_fields():
        assert fits(read, fields) is fitting.fits(read, fields) is written(given, fields)


def written(given, fields):
    """Read a filter from its JSON."""
    for name, condition in given.items():
        if name == "and":
            holds = all(written(one, fields) for one in condition)
        elif name == "or":
            holds = any(written(one, fields) for one in condition)
        elif name == "not":
            holds = not written(condition, fields)
        else:
            value = fields.get(name)
            holds = all(asked(operator, operand, value) for operator, operand in operators(condition))
        if not holds:
            return False
    return True


def operators(condition):
    if isinstance(condition, dict):
        return condition.items()
    return [("in", condition if isinstance(condition, list) else [condition])]


def asked(operator, operand, value):
    if operator == "exists":
        return (value is not None) is operand
    if operator == "not":
        return value not in (operand if isinstance(operand, list) else [operand])
    if value is None:
        return False
    if operator == "in":
        return value in operand
    if operator == "contains":
        return operand in value
    return value >= operand if operator == "gte" else value < operand
