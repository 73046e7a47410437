"""Reading documents, claiming a collection for an encoder, and errors of the store."""

from __future__ import annotations

import dataclasses

import bson
import pymongo
import pytest
from pymongo import errors as mongo

from product_match.contract.errors import ConfigError, InvalidRequestError, ProductMatchError, UnavailableError
from product_match.contract.filters import read_filter
from product_match.documents import selection
from product_match.documents.connection import connect
from product_match.documents.mongo_errors import document_errors
from product_match.documents.removal import remove_products
from product_match.documents.selection import fitting_page
from product_match.documents.store import open_documents
from product_match.settings import Secret
from tests.fakes.catalogues import points, product_write, write_all
from tests.fakes.encoders import encoder_spec

IDENTITY = encoder_spec().identity


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, IDENTITY)
    yield opened
    opened.close()


def test_fetch_is_one_query_and_carries_products_without_embeddings(documents, monkeypatch):
    write_all(documents, *(product_write(n) for n in range(5)))
    queries = []
    original = type(documents.products).find
    monkeypatch.setattr(
        type(documents.products),
        "find",
        lambda self, *args, **kw: queries.append(args) or original(self, *args, **kw),
    )
    found = documents.fetch([*points(1, 2, 1), *points(99)])
    assert len(queries) == 1
    assert set(found) == set(points(1, 2))
    assert found[points(1)[0]] == product_write(1).product


def test_fetching_nothing_asks_nothing(documents):
    documents.close()
    assert documents.fetch([]) == {}


def test_a_removed_product_is_not_fetched_listed_counted_or_hashed(documents):
    write_all(documents, *(product_write(n) for n in range(4)))
    remove_products(documents, ["p1"])
    assert set(documents.fetch(points(0, 1))) == set(points(0))
    assert set(documents.hashes(["p0", "p1"])) == {"p0"}
    assert documents.count() == 3
    assert documents.count_pending() == 4


def test_hashes_are_those_that_a_client_computes(documents):
    write_all(documents, product_write(1))
    assert documents.hashes(["p1", "p2"]) == {"p1": product_write(1).content_hash()}


def test_hashes_of_another_encoder_do_not_count(documents):
    write_all(documents, product_write(1))
    documents.products.update_many({}, {"$set": {"encoder": "older@1"}})
    assert documents.hashes(["p1"]) == {}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (None, 9),
        ({"category": "Shoes"}, 3),
        ({"category": ["Shoes", "Hats"], "price": {"lt": 3}}, 2),
        ({"category": {"not": "Shoes"}}, 6),
        ({"color": {"not": "red"}}, 9),
        ({"price": {"gte": 1.5, "lte": 3.5}}, 3),
        ({"brand": "None such"}, 0),
    ],
)
def test_products_are_counted_by_filter(documents, conditions, expected):
    write_all(documents, *(product_write(n) for n in range(9)))
    assert documents.count(read_filter(conditions)) == expected


@pytest.mark.parametrize("few", [0, 2000])
@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ({}, range(1, 12)),
        ({"category": "Shoes"}, (3, 6, 9)),
        ({"category": ["Shoes", "Hats", "None such"]}, (1, 3, 4, 6, 7, 9, 10)),
        ({"category": {"in": ["Shoes", "Hats"], "not": "Hats"}, "price": {"gt": 3}}, (3, 6, 9)),
        ({"price": {"gte": 2.5, "lt": 5.5}}, (2, 3, 4)),
        ({"price": [2.5, 7.5]}, (2, 7)),
        ({"category": {"not": "Shoes"}}, (1, 2, 4, 5, 7, 8, 10, 11)),
        ({"brand": {"not": ["B1"]}, "color": "red"}, (2, 4, 6, 8, 10)),
        ({"category": ["Shoes", "Fruit"], "brand": ["B1", "B2"], "color": ["red", "blue"]}, (2, 5, 6, 9)),
        ({"sku": [f"s{number}" for number in range(40)]}, (5,)),
    ],
)
def test_a_filter_counts_and_lists_the_same_products_however_they_are_found(
    documents, monkeypatch, few, conditions, numbers
):
    monkeypatch.setattr(selection, "FEW", few)
    write_all(
        documents,
        *(
            product_write(n, color=("red", "blue")[n % 2], brand=f"B{n % 4}", sku="s7" if n == 5 else None)
            for n in range(12)
        ),
    )
    remove_products(documents, ["p0"])
    given = read_filter(conditions)
    assert documents.count(given) == len(numbers)
    expected = sorted(f"p{n}" for n in numbers)
    pages = [fitting_page(documents, given, after, 2) for after in ("", *expected[1::2])]
    assert [document["product_id"] for page in pages for document in page] == expected


def test_a_walk_meets_every_document_once_in_the_order_of_product_ids(documents):
    write_all(documents, *(product_write(n) for n in range(25)))
    pages = list(documents.walk(fields={"rev": 1}, page_size=7))
    assert [len(page) for page in pages] == [7, 7, 7, 4]
    met = [document["product_id"] for page in pages for document in page]
    assert met == sorted(f"p{n}" for n in range(25))
    assert "product" not in pages[0][0]


def test_a_walk_over_nothing_has_no_pages(documents):
    assert list(documents.walk()) == []


def test_a_document_store_of_another_encoder_is_refused_with_what_to_do(documents, catalogue_settings):
    write_all(documents, product_write(1))
    with pytest.raises(
        ConfigError, match=r"was encoded by tiny@0123456789ab, and this server runs other@1"
    ) as caught:
        open_documents(catalogue_settings, "other@1")
    assert "`product-match export --url OLD | product-match index - --url NEW` encodes" in str(caught.value)


def test_a_document_store_without_products_takes_any_encoder(documents, catalogue_settings):
    open_documents(catalogue_settings, "other@1").close()
    again = open_documents(catalogue_settings, IDENTITY)
    assert again.encoder == IDENTITY
    again.close()


def test_preparing_again_changes_nothing(documents):
    write_all(documents, product_write(1))
    documents.prepare()
    assert documents.count() == 1


def test_dropping_removes_products_and_photos_and_leaves_a_usable_store(documents):
    write_all(documents, product_write(1))
    documents.drop()
    assert documents.count() == 0
    assert documents.images.find_one({}) is None
    write_all(documents, product_write(2))
    assert documents.count() == 1


def test_a_store_that_is_not_there_is_unavailable_and_says_what_to_check(catalogue_settings):
    away = dataclasses.replace(
        catalogue_settings, mongodb_uri=Secret("mongodb://user:s3cret@127.0.0.1:1"), store_timeout_s=0.2
    )
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        open_documents(away, IDENTITY)
    assert "try again, and check that it runs" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["http://127.0.0.1", "mongodb://", "mongodb://h:port"])
def test_a_wrong_uri_is_told(catalogue_settings, uri):
    wrong = dataclasses.replace(catalogue_settings, mongodb_uri=Secret(uri))
    with pytest.raises(ConfigError, match=r"document store: its URI is wrong .*; correct it"):
        connect(wrong)


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (mongo.AutoReconnect("gone"), UnavailableError, r"acting failed because it does not answer \(gone\)"),
        (mongo.ServerSelectionTimeoutError("none"), UnavailableError, "does not answer"),
        (mongo.NetworkTimeout("slow"), UnavailableError, "does not answer"),
        (mongo.ExecutionTimeout("slow", 50), UnavailableError, "does not answer"),
        (mongo.WaitQueueTimeoutError("full"), UnavailableError, "does not answer"),
        (
            mongo.OperationFailure("no", 18),
            ConfigError,
            r"acting is not allowed \(no.*check user, password and roles",
        ),
        (mongo.OperationFailure("no", 13), ConfigError, "is not allowed"),
        (mongo.OperationFailure("odd", 9), ProductMatchError, r"acting failed \(odd"),
        (mongo.InvalidOperation("odd"), ProductMatchError, r"acting failed \(odd"),
        (bson.errors.InvalidDocument("odd"), InvalidRequestError, r"acting: not storable \(odd"),
    ],
)
def test_every_error_of_the_driver_becomes_one_of_ours(raised, expected, words):
    with pytest.raises(expected, match=words) as caught, document_errors("acting"):
        raise raised
    assert type(caught.value) is expected


def test_a_long_message_of_the_driver_is_cut():
    with pytest.raises(ProductMatchError) as caught, document_errors("acting"):
        raise mongo.OperationFailure("word " * 1000)
    assert len(str(caught.value)) < 400


def test_the_driver_still_speaks_c():
    """Without its C extension the driver decodes ten times slower, which no error would tell."""
    assert bson.has_c()
    assert pymongo.has_c()
