"""A change of encoder embeds every photo of a product anew."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from product_match.contract.errors import InvalidRequestError
from product_match.documents.store import open_documents
from product_match.documents.writing import write_products
from product_match.encoder_change import transfer
from product_match.encoder_change.transfer import Transfer
from tests.fakes.catalogues import POINT_MAKER, photo_bytes, product_write

DIMENSION = 6


class Embedder:
    """Embeds by content, in more dimensions than the encoder before."""

    def __init__(self):
        self.bad = None

    def photos(self, rows):
        bad = InvalidRequestError("image: cannot be decoded")
        return [bad if row == self.bad else vector(row) for row in rows]

    def words(self, rows):
        return [vector(row.encode()) for row in rows]


def vector(data):
    made = np.frombuffer(data.ljust(DIMENSION)[-DIMENSION:], np.uint8).astype(np.float32)
    return made / np.linalg.norm(made)


@pytest.fixture
def pair(catalogue_settings):
    source = open_documents(catalogue_settings, "old@1")
    target = open_documents(dataclasses.replace(catalogue_settings, generation="0123456789ab"), "new@1")
    yield source, target
    source.close()
    target.close()


def held(documents):
    return {document["product_id"]: document for page in documents.walk() for document in page}


def test_all_photos_of_a_product_are_embedded_in_order(pair, monkeypatch):
    monkeypatch.setattr(transfer, "BATCH", 2)  # so that the photos of one product come in several batches
    source, target = pair
    write_products(
        source, [product_write(1, photos=5), product_write(2), product_write(3, photos=3), product_write(4)]
    )
    run = Transfer(source, target, Embedder())
    run.everything()
    assert (run.embedded, run.failed) == (4, {})
    for number, photos in ((1, 5), (3, 3)):
        found = POINT_MAKER.point(held(target)[f"p{number}"]).vectors["image"]
        np.testing.assert_allclose(found, [vector(photo_bytes(number, n)) for n in range(photos)], atol=1e-6)
    assert POINT_MAKER.point(held(target)["p2"]).vectors["image"].shape == (DIMENSION,)
    write_products(source, [product_write(1), product_write(2, photos=2)])
    run.everything()
    after = held(target)
    assert "image_count" not in after["p1"]
    assert POINT_MAKER.point(after["p1"]).vectors["image"].shape == (DIMENSION,)
    assert POINT_MAKER.point(after["p2"]).vectors["image"].shape == (2, DIMENSION)


def test_one_bad_photo_of_several_keeps_the_product_back(pair):
    source, target = pair
    write_products(source, [product_write(1, photos=3), product_write(2)])
    embedder = Embedder()
    embedder.bad = photo_bytes(1, 1)
    run = Transfer(source, target, embedder)
    run.everything()
    assert list(run.failed.values()) == ["product p1: image: cannot be decoded"]
    assert list(held(target)) == ["p2"]
