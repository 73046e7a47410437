"""A record on its way through a load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import parse_product
from product_match_client.photos import QUERY_TEXT, PhotoReference, split_photo
from product_match_client.requests import row_words
from product_match_client.sources.mapping import mapped
from product_match_client.sources.records import Record


@dataclass(kw_only=True, eq=False)
class Row:
    """One product of a load.

    Attributes:
        record: What it was made of.
        product: Its fields, checked.
        photo: Where its photo is.
        text: The words it is found by.
        image: The photo's bytes, once they are there.
        content_hash: Tells whether the server holds the same, once the photo is there.
        after: The row before it with the same id, while that one is on its way.
        done: Set when it is settled.
    """

    record: Record
    product: dict[str, Any]
    photo: PhotoReference
    text: str
    image: bytes = b""
    content_hash: str = ""
    after: Row | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def product_id(self) -> str:
        """The product's id."""
        return str(self.product["id"])


def open_row(record: Record, mapping: Mapping[str, str]) -> Row:
    """Make a row of a record.

    Raises:
        InvalidRequestError: The record cannot be read, or is no product.
    """
    if record.fields is None:
        raise InvalidRequestError(record.reason)
    fields, photo = split_photo(mapped(record.fields, mapping), record.directory)
    text = fields.pop(QUERY_TEXT, None)
    if text is not None and not isinstance(text, str):
        raise InvalidRequestError(f"{QUERY_TEXT} must be a string, got {type(text).__name__}; quote it")
    try:
        data = json.dumps(fields, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"product: cannot be written as JSON ({error}); use plain JSON values") from error
    product = parse_product(data)
    return Row(record=record, product=product, photo=photo, text=row_words(product, text))
