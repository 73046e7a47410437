"""Answers `indexing`: one bulk write for a whole Triton batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError, ProductMatchError, in_row, unforeseen
from product_match.contract.models import IMAGE_BYTES, IMAGE_GIVEN, PRODUCT, QUERY_TEXT, RECEIPT, TEXT_GIVEN
from product_match.contract.products import IMAGE_OF, check_photos, parse_row
from product_match.documents.filling import note_filling
from product_match.documents.records import ProductWrite, Receipt
from product_match.documents.store import DocumentStore
from product_match.documents.writing import write_products
from product_match.index.owner import IndexOwner
from product_match.telemetry.stages import Stage
from product_match.triton.batches import Answer, BatchRequest, bytes_column

LOGGER = logging.getLogger(__name__)


class IndexingService:
    """Writes the products of all requests with one call to the store."""

    def __init__(
        self, documents: DocumentStore, owner: IndexOwner, encoded_on: Callable[[], str] | None = None
    ) -> None:
        """Write to `documents`, and wake `owner`, which brings the vector index in step.

        `encoded_on` tells what encodes; the catalogue notes it at the first write.
        """
        self._documents = documents
        self._owner = owner
        self._encoded_on = encoded_on
        self._stage = Stage("write")

    def __call__(self, requests: Sequence[BatchRequest]) -> list[Answer]:
        """Write the products of all requests; a bad product fails its own request only."""
        plans = [_plan(request) for request in requests]
        batch = [item.write() for plan in plans if isinstance(plan, list) for item in plan]
        with self._stage.timed():
            results = iter(write_products(self._documents, batch) if batch else ())
        if batch:
            self._note_filling()
        answers: list[list[Receipt] | ProductMatchError] = [
            _settled([next(results) for _ in plan]) if isinstance(plan, list) else plan for plan in plans
        ]
        searchable = self._wait(requests, answers)
        return [
            _answer(plan, answer, searchable if request.parameters.get("wait") else None)
            for request, plan, answer in zip(requests, plans, answers, strict=True)
        ]

    def _note_filling(self) -> None:
        """Note what encodes, once; the products are written, so a store that is away is asked at the next batch."""
        if self._encoded_on is not None:
            try:
                note_filling(self._documents, self._encoded_on())
            except ProductMatchError as error:
                LOGGER.warning("what encodes the catalogue could not be noted: %s", error)
            else:
                self._encoded_on = None

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
            late = self._owner.wait_applied(waited, limits.MAX_WAIT_S)
            return {point_id: point_id not in late for point_id in waited}
        if written:
            self._owner.wake()
        return {}


@dataclass(kw_only=True)
class _Item:
    """One product of a request, and the rows that it came in: its own, then one for each further photo."""

    product: Mapping[str, Any]
    tensors: Mapping[str, Any]
    rows: list[int]

    @property
    def product_id(self) -> str:
        return str(self.product["id"])

    def write(self) -> ProductWrite:
        first, tensors = self.rows[0], self.tensors
        photos = [tensors[IMAGE_BYTES.name][row, 0] for row in self.rows if tensors[IMAGE_GIVEN.name][row, 0]]
        has_text = bool(tensors[TEXT_GIVEN.name][first, 0])
        return ProductWrite(
            product=self.product,
            photos=photos,
            query_text=tensors[QUERY_TEXT.name][first, 0].decode("utf-8") if has_text else "",
            image_embeds=np.stack([tensors["image_embeds"][row] for row in self.rows]) if photos else None,  # [k, D]
            text_embeds=tensors["text_embeds"][first] if has_text else None,
        )


def _plan(request: BatchRequest) -> list[_Item] | ProductMatchError:
    items: list[_Item] = []
    row = 0
    try:
        for row in range(request.rows):
            _take_row(items, request.tensors, row)
    except ProductMatchError as error:
        return in_row(error, row, request.rows)
    except Exception:
        return in_row(unforeseen(LOGGER, "a product could not be read"), row, request.rows)
    try:
        for item in items:
            check_photos(item.product_id, [len(item.tensors[IMAGE_BYTES.name][place, 0]) for place in item.rows])
    except ProductMatchError as error:
        return error
    return items


def _take_row(items: list[_Item], tensors: Mapping[str, Any], row: int) -> None:
    given = parse_row(tensors[PRODUCT.name][row, 0])
    if isinstance(given, str):
        _add_photo(items, given, tensors, row)
    else:
        items.append(_item(given, tensors, row))


def _item(product: Mapping[str, Any], tensors: Mapping[str, Any], row: int) -> _Item:
    if not tensors[IMAGE_GIVEN.name][row, 0] and not tensors[TEXT_GIVEN.name][row, 0]:
        raise InvalidRequestError(
            f"product {product['id']}: neither a photo nor words came; "
            "send `image_bytes`, `query_text` (its name, say), or both"
        )
    return _Item(product=product, tensors=tensors, rows=[row])


def _add_photo(items: Sequence[_Item], product_id: str, tensors: Mapping[str, Any], row: int) -> None:
    """Take a row as a further photo of the product before it."""
    before = items[-1].product_id if items else "no product"
    if product_id != before:
        raise InvalidRequestError(
            f"row {row}: it has a further photo of product {product_id}, and follows {before}; send a product's "
            "further photos in the rows after its own, in the same request"
        )
    photos = tensors[IMAGE_GIVEN.name]
    if not photos[row, 0] or not photos[items[-1].rows[0], 0]:
        raise InvalidRequestError(
            f"row {row}: a row of `{IMAGE_OF}` carries a further photo of product {product_id}, so it and the "
            "product's own row must have a photo, and one of them has none; send the photos from the first row on"
        )
    if tensors[TEXT_GIVEN.name][row, 0]:
        raise InvalidRequestError(
            f"row {row}: words came with a further photo of product {product_id}; send them in the product's own row"
        )
    items[-1].rows.append(row)


def _settled(results: Sequence[Receipt | ProductMatchError]) -> list[Receipt] | ProductMatchError:
    """Return a request's receipts, or the first error: Triton has one error for a request, whatever its rows."""
    for result in results:
        if isinstance(result, ProductMatchError):
            return result
    return [result for result in results if isinstance(result, Receipt)]


def _answer(
    plan: list[_Item] | ProductMatchError,
    receipts: list[Receipt] | ProductMatchError,
    searchable: Mapping[str, bool] | None,
) -> Answer:
    """Return a receipt for each row, that of its product where it has a further photo; or the request's error."""
    if isinstance(plan, ProductMatchError):
        return plan
    if isinstance(receipts, ProductMatchError):
        return receipts
    rows: list[bytes] = []
    for item, receipt in zip(plan, receipts, strict=True):
        answer = receipt.to_dict(searchable=None if searchable is None else searchable[receipt.point_id])
        rows += [orjson.dumps(answer)] * len(item.rows)
    return {RECEIPT.name: bytes_column(rows)}
