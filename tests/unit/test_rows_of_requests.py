"""A row of a product or of a query that cannot be read fails its own request, which is told the row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from product_match.contract.errors import InvalidRequestError, ProductMatchError
from product_match.contract.models import IMAGE_BYTES, IMAGE_GIVEN, PRODUCT, QUERY_TEXT, TEXT_GIVEN
from product_match.indexing import service as indexing
from product_match.retrieval import plans
from product_match.triton.batches import BatchRequest, bytes_column

INTERNAL = "internal error; the server's log has the details"


def products(*rows):
    count = len(rows)
    return BatchRequest(
        tensors={
            PRODUCT.name: bytes_column(rows),
            IMAGE_BYTES.name: bytes_column([b""] * count),
            QUERY_TEXT.name: bytes_column([b"tee"] * count),
            IMAGE_GIVEN.name: np.zeros((count, 1), bool),
            TEXT_GIVEN.name: np.ones((count, 1), bool),
            "image_embeds": np.zeros((count, 4), np.float32),
            "text_embeds": np.ones((count, 4), np.float32),
        }
    )


def product(name):
    return json.dumps({"id": name}).encode()


def test_a_products_row_is_named_among_several():
    error = indexing._plan(products(product("1"), b"[]"))
    assert type(error) is InvalidRequestError
    assert str(error) == "row 1: product: expected a JSON object, got list"
    assert str(indexing._plan(products(b"[]"))) == "product: expected a JSON object, got list"


def test_what_nobody_foresaw_of_a_product_is_its_own(monkeypatch, caplog):
    def explode(data):
        if b"wrong" in data:
            raise ZeroDivisionError("boom")
        return json.loads(data)

    monkeypatch.setattr(indexing, "parse_row", explode)
    assert isinstance(indexing._plan(products(product("1"))), list)
    error = indexing._plan(products(product("1"), product("wrong")))
    assert type(error) is ProductMatchError
    assert str(error) == f"row 1: {INTERNAL}"
    assert caplog.text.count("ZeroDivisionError: boom") == 1


@pytest.mark.parametrize(("rows", "words"), [(1, INTERNAL), (3, f"row 2: {INTERNAL}")])
def test_what_nobody_foresaw_of_a_query_is_its_own(monkeypatch, caplog, rows, words):
    def explode(request, row, reader):
        if row == rows - 1:
            raise ZeroDivisionError("boom")
        return row

    monkeypatch.setattr(plans, "read_row", explode)
    request = BatchRequest(tensors={"image_embeds": np.zeros((rows, 4), np.float32)})
    assert str(plans.plan_of(request, None)) == words
    assert caplog.text.count("ZeroDivisionError: boom") == 1
