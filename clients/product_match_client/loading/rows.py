"""A record on its way through a load."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import check_photos, parse_product
from product_match_client.loading.sources.mapping import FieldMapping, mapped
from product_match_client.loading.sources.prices import with_numbers
from product_match_client.loading.sources.records import Record
from product_match_client.photos import QUERY_TEXT, PhotoReference, split_photos
from product_match_client.requests import row_words


@dataclass(kw_only=True, eq=False)
class Row:
    """One product of a load.

    Attributes:
        record: What it was made of.
        product: Its fields, checked.
        references: Where its photos are.
        text: The words it is found by.
        photos: The photos' bytes, once they are there.
        content_hash: Tells whether the server holds the same, once the photos are there.
        after: The row before it with the same id, while that one is on its way.
        done: Set when it is settled.
    """

    record: Record
    product: dict[str, Any]
    references: tuple[PhotoReference, ...]
    text: str
    photos: list[bytes] = field(default_factory=list)
    content_hash: str = ""
    after: Row | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def product_id(self) -> str:
        """The product's id."""
        return str(self.product["id"])

    @property
    def bytes(self) -> int:
        """Bytes of its photos."""
        return sum(len(photo) for photo in self.photos)

    @property
    def request_rows(self) -> int:
        """Rows that it takes in a request."""
        return max(1, len(self.photos))


def open_row(record: Record, mapping: FieldMapping, image_separator: str = "", decimal_mark: str = "") -> Row:
    """Make a row of a record.

    Args:
        record: The record.
        mapping: The source's names of product fields; none for those that the record was rejected with.
        image_separator: What stands between several photos in one text, if anything does; empty for that likewise.
        decimal_mark: What stands before decimals, where that was said; empty for that likewise.

    Raises:
        InvalidRequestError: The record cannot be read, or is no product.
    """
    if record.fields is None:
        raise InvalidRequestError(record.reason)
    named = with_numbers(mapped(record.fields, mapping or record.mapping), decimal_mark or record.decimal_mark)
    fields, references = split_photos(named, record.directory, image_separator or record.image_separator)
    text = fields.pop(QUERY_TEXT, None)
    if text is not None and not isinstance(text, str):
        raise InvalidRequestError(f"{QUERY_TEXT} must be a string, got {type(text).__name__}; quote it")
    try:
        data = json.dumps(fields, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"product {fields.get('id', '')!s:.80}: cannot be written as JSON ({error}); use plain JSON values"
        ) from error
    product = parse_product(data)
    check_photos(product["id"], [0] * len(references))
    return Row(record=record, product=product, references=references, text=row_words(product, text))
