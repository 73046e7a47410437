"""The model `indexing`: rows become products, further photos included, and receipts go back row by row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from product_match.catalogue.opening import open_for_retrieval
from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.documents.images import load_images
from product_match.indexing.service import IndexingService
from product_match.triton.batches import BatchRequest, bytes_column
from product_match.vectors.vector_index import VectorQuery
from tests.fakes.catalogues import DIMENSION, photo_bytes, photo_vector, points, unit_vector
from tests.fakes.encoders import encoder_spec


@pytest.fixture
def catalogue(catalogue_settings):
    opened = open_for_retrieval(catalogue_settings, encoder_spec())
    yield opened
    opened.close()


@pytest.fixture
def service(catalogue):
    return IndexingService(catalogue.documents, catalogue.owner)


def row(number, photos=1, text=True, **fields):
    """The rows of product `p<number>`: JSON, photo, words, and the vectors of both."""
    product = {"id": f"p{number}", "name": f"Product {number}", **fields}
    first = [json.dumps(product), photo_bytes(number) if photos else b"", f"words {number}" if text else ""]
    further = [[json.dumps({"image_of": f"p{number}"}), photo_bytes(number, place), ""] for place in range(1, photos)]
    return [(*values, photo_vector(number, place)) for place, values in enumerate([first, *further])]


def request(*rows, **parameters):
    products, photos, texts, vectors = zip(*rows, strict=True)
    tensors = {
        "product": bytes_column([product.encode() for product in products]),
        "image_bytes": bytes_column(photos),
        "query_text": bytes_column([text.encode() for text in texts]),
        "image_embeds": np.stack(vectors),
        "image_given": np.asarray([[bool(photo)] for photo in photos]),
        "text_embeds": np.stack([unit_vector(7, DIMENSION)] * len(rows)),
        "text_given": np.asarray([[bool(text)] for text in texts]),
    }
    return BatchRequest(tensors=tensors, parameters=parameters)


def receipts(answer):
    return [json.loads(data) for data in answer["receipt"][:, 0]]


def test_each_photo_of_a_product_finds_it_first_and_once(catalogue, service):
    (answer,) = service([request(*row(1, 3), *row(2), *row(3, 16), wait=True)])
    assert [receipt["id"] for receipt in receipts(answer)] == ["p1"] * 3 + ["p2"] + ["p3"] * 16
    assert {receipt["searchable"] for receipt in receipts(answer)} == {True}
    sought = [(1, 0), (1, 2), (2, 0), (3, 15)]
    queries = [VectorQuery(vector_name="image", vector=photo_vector(*photo), limit=5) for photo in sought]
    for (number, _), hits in zip(sought, catalogue.index.search(queries), strict=True):
        assert hits[0].id == points(number)[0]
        assert hits[0].score == pytest.approx(1.0, abs=1e-5)
        assert len({hit.id for hit in hits}) == len(hits) == 3


def test_the_photos_of_a_product_are_kept_in_order_and_sending_them_again_changes_nothing(catalogue, service):
    first, again = service([request(*row(1, 3)), request(*row(1, 3))])
    assert [receipts(answer)[0]["status"] for answer in (first, again)] == ["created", "unchanged"]
    held = catalogue.documents.products.find_one({"_id": points(1)[0]})
    assert load_images(catalogue.documents.images, held["image_sha256"]) == [photo_bytes(1, n) for n in range(3)]
    (fewer,) = service([request(*row(1, 2))])
    assert receipts(fewer)[0] == {"id": "p1", "rev": 2, "status": "updated"}


def changed(rows, place, **values):
    names = ("product", "photo", "text")
    return [
        tuple(values.get(name, value) for name, value in zip(names, entry[:3], strict=True)) + entry[3:]
        if number == place
        else entry
        for number, entry in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (row(1, 2)[1:], "row 0: it has a further photo of product p1, and follows no product; send a product's"),
        ([*row(2), *row(1, 2)[1:]], "row 1: it has a further photo of product p1, and follows p2; send a product's"),
        (changed(row(1, 3), 2, photo=b""), "row 2: a row of `image_of` carries a further photo of product p1, so it"),
        (changed(row(1, 2), 0, photo=b""), "row 1: a row of `image_of` carries a further photo of product p1, so it"),
        (
            changed(row(1, 2), 1, text="words"),
            "row 1: words came with a further photo of product p1; send them in the",
        ),
        (changed(row(1, 2), 1, product='{"image_of": ""}'), "product: `id` must be a non-empty string, got ''"),
        (changed(row(1, 2), 1, product='{"image_of": "p1", "x": 1}'), "product: `id` must be a non-empty string"),
        (row(1, 17), "product p1: 17 photos, the limit is 16; leave out those that show the least of it"),
        (row(1, 0, text=False), "product p1: neither a photo nor words came; send `image_bytes`, `query_text`"),
    ],
)
def test_rows_that_make_no_product_fail_their_own_request_alone(catalogue, service, rows, words):
    bad, good = service([request(*rows), request(*row(9))])
    assert isinstance(bad, InvalidRequestError)
    assert words in str(bad)
    assert receipts(good) == [{"id": "p9", "rev": 1, "status": "created"}]
    assert catalogue.documents.count() == 1


def test_photos_that_are_too_large_together_are_refused(service, monkeypatch):
    monkeypatch.setattr(limits, "MAX_PRODUCT_IMAGES_BYTES", 10)
    (bad,) = service([request(*row(1, 2))])
    assert str(bad) == "product p1: its photos have 16 bytes together, the limit is 10; send smaller ones"
