"""Answers `indexing`: one bulk write for a whole Triton batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from product_match.catalogue.documents import DocumentStore
from product_match.catalogue.owner import IndexOwner
from product_match.catalogue.records import ProductWrite, Receipt
from product_match.catalogue.writing import write_products
from product_match.contract.errors import InvalidRequestError, ProductMatchError
from product_match.contract.models import IMAGE_BYTES, IMAGE_GIVEN, PRODUCT, QUERY_TEXT, RECEIPT, TEXT_GIVEN
from product_match.contract.products import parse_product
from product_match.triton.batches import Answer, BatchRequest, bytes_column

WAIT_TIMEOUT_S: Final = 10.0
"""Longest that `wait` holds an answer; a product that cannot be found by then is stored all the same."""


class IndexingService:
    """Writes the products of all requests with one call to the store."""

    def __init__(self, documents: DocumentStore, owner: IndexOwner) -> None:
        """Write to `documents`, and wake `owner`, which brings the vector index in step."""
        self._documents = documents
        self._owner = owner

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Write the products of all requests; a bad product fails its own request only."""
        plans = [_plan(request) for request in requests]
        batch = [write for plan in plans if isinstance(plan, list) for write in plan]
        results = iter(write_products(self._documents, batch) if batch else ())
        answers: list[list[Receipt] | ProductMatchError] = [
            _settled([next(results) for _ in plan]) if isinstance(plan, list) else plan for plan in plans
        ]
        searchable = self._wait(requests, answers)
        return [
            _receipts(answer, searchable if request.parameters.get("wait") else None)
            if isinstance(answer, list)
            else answer
            for request, answer in zip(requests, answers, strict=True)
        ]

    def _wait(
        self, requests: Sequence[BatchRequest], answers: Sequence[list[Receipt] | ProductMatchError]
    ) -> Mapping[str, bool]:
        written = [receipt for answer in answers if isinstance(answer, list) for receipt in answer]
        waited = {
            receipt.point_id: receipt.rev
            for request, answer in zip(requests, answers, strict=True)
            if isinstance(answer, list) and request.parameters.get("wait")
            for receipt in answer
        }
        if waited:
            late = self._owner.wait_applied(waited, WAIT_TIMEOUT_S)
            return {point_id: point_id not in late for point_id in waited}
        if written:
            self._owner.wake()
        return {}


def _plan(request: BatchRequest) -> list[ProductWrite] | ProductMatchError:
    try:
        return [_write(request.tensors, row) for row in range(request.rows)]
    except ProductMatchError as error:
        return error


def _write(tensors: Mapping[str, Any], row: int) -> ProductWrite:
    product = parse_product(tensors[PRODUCT.name][row, 0])
    has_image, has_text = bool(tensors[IMAGE_GIVEN.name][row, 0]), bool(tensors[TEXT_GIVEN.name][row, 0])
    if not has_image and not has_text:
        raise InvalidRequestError(
            f"product {product['id']}: neither a photo nor words came; "
            "send `image_bytes`, `query_text` (its name, say), or both"
        )
    return ProductWrite(
        product=product,
        image_bytes=tensors[IMAGE_BYTES.name][row, 0] if has_image else b"",
        query_text=tensors[QUERY_TEXT.name][row, 0].decode("utf-8") if has_text else "",
        image_embeds=tensors["image_embeds"][row] if has_image else None,
        text_embeds=tensors["text_embeds"][row] if has_text else None,
    )


def _settled(results: Sequence[Receipt | ProductMatchError]) -> list[Receipt] | ProductMatchError:
    """Return a request's receipts, or the first error: Triton has one error for a request, whatever its rows."""
    for result in results:
        if isinstance(result, ProductMatchError):
            return result
    return [result for result in results if isinstance(result, Receipt)]


def _receipts(receipts: Sequence[Receipt], searchable: Mapping[str, bool] | None) -> Answer:
    rows = [
        receipt.to_dict(searchable=None if searchable is None else searchable[receipt.point_id])
        for receipt in receipts
    ]
    return {RECEIPT.name: bytes_column([orjson.dumps(row) for row in rows])}
