"""What a product is: its fields, the ones that can be filtered on, its photos, words, ids and content hash."""

from __future__ import annotations

import enum
import hashlib
import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError

POINT_NAMESPACE: Final = uuid.UUID("6f1c1f0e-7d0b-5c0e-9a53-6f0f5a1c7b1d")
"""Namespace of the UUIDv5 that a product id becomes in both stores."""


class FieldType(enum.Enum):
    """How a field can be filtered on."""

    KEYWORD = "keyword"
    NUMBER = "number"


@dataclass(frozen=True, kw_only=True)
class FilterField:
    """A product field that has a payload index and can be used in a filter."""

    name: str
    type: FieldType


FILTER_FIELDS: Final = (
    FilterField(name="category", type=FieldType.KEYWORD),
    FilterField(name="color", type=FieldType.KEYWORD),
    FilterField(name="brand", type=FieldType.KEYWORD),
    FilterField(name="sku", type=FieldType.KEYWORD),
    FilterField(name="price", type=FieldType.NUMBER),
)

IMAGE_OF: Final = "image_of"
"""The only field of a row that carries a further photo of the product in the row before it: that product's id."""

TEXT_FIELDS: Final = ("name", "brand", "category", "color", "description")
"""The fields that hold text."""

SENSE_FIELDS: Final = ("name", "category", "color")
"""The fields whose sense the text encoder is given, in this order: what a product is called. The words of the others
are found as they are written; in one vector with these they would blur them."""


class CheckedProduct(dict[str, Any]):
    """A product's fields as `check_product` returns them: whoever is handed one need not check it again."""


def point_id(product_id: str) -> str:
    """Return the id that a product has in both stores: Qdrant takes only integers and UUIDs."""
    return str(uuid.uuid5(POINT_NAMESPACE, product_id))


def parse_product(data: bytes) -> CheckedProduct:
    """Read and check one product.

    Args:
        data: A JSON object, UTF-8.

    Returns:
        The product; its `id` is a string even where an integer came.

    Raises:
        InvalidRequestError: Too large, not a JSON object, no id, or a field of the wrong type.
    """
    return check_product(_parse_object(data))


def parse_row(data: bytes) -> CheckedProduct | str:
    """Read one row of an index request: a product, or the id of the product that the row has a further photo of.

    Raises:
        InvalidRequestError: It is neither; see parse_product.
    """
    given = _parse_object(data)
    if given.keys() == {IMAGE_OF}:
        return _product_id(given[IMAGE_OF])
    return check_product(given)


def _parse_object(data: bytes) -> dict[str, Any]:
    if len(data) > limits.MAX_PRODUCT_BYTES:
        raise InvalidRequestError(
            f"product: {len(data):,} bytes of JSON, the limit is {limits.MAX_PRODUCT_BYTES:,}; "
            "shorten the description or the attributes"
        )
    try:
        product = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"product: not valid JSON in UTF-8 ({error}); send one JSON object") from error
    if not isinstance(product, dict):
        raise InvalidRequestError(f"product: expected a JSON object, got {type(product).__name__}")
    return product


def check_product(product: Mapping[str, Any]) -> CheckedProduct:
    """Check a product's fields and return it with a string id.

    Raises:
        InvalidRequestError: No usable id, or a field of the wrong type.
    """
    checked = CheckedProduct(product)
    checked["id"] = _product_id(product.get("id"))
    for name in (*TEXT_FIELDS, *(f.name for f in FILTER_FIELDS if f.type is FieldType.KEYWORD)):
        value = checked.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidRequestError(
                f"product {checked['id']}: {name} must be a string, got {type(value).__name__}; "
                "quote it or leave it out"
            )
    for field in FILTER_FIELDS:
        value = checked.get(field.name)
        if field.type is FieldType.NUMBER and value is not None and not _is_number(value):
            raise InvalidRequestError(
                f"product {checked['id']}: {field.name} must be a finite number, got {value!r:.80}; "
                "send it without a currency, or leave it out"
            )
    return checked


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _product_id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequestError(
            f"product: `id` must be a non-empty string, got {value!r:.80}; give each product its own id"
        )
    if len(value) > limits.MAX_PRODUCT_ID_CHARACTERS:
        raise InvalidRequestError(
            f"product: `id` has {len(value)} characters, the limit is {limits.MAX_PRODUCT_ID_CHARACTERS}; shorten it"
        )
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidRequestError("product: `id` holds a NUL or half a surrogate pair; use plain text")
    return value


def product_words(product: Mapping[str, Any]) -> str:
    """Return the words that stand for a product where the caller gives none: what it is called.

    A product that is called nothing is told by its other text.
    """
    called = [name for name in SENSE_FIELDS if product.get(name)] or [
        name for name in TEXT_FIELDS if product.get(name)
    ]
    parts = (str(product[name]).strip() for name in called)
    return ". ".join(part for part in parts if part)


def check_photos(product_id: str, sizes: Sequence[int]) -> None:
    """Check how many photos a product has, and how large they are together.

    Args:
        product_id: For the message.
        sizes: Bytes of each photo.

    Raises:
        InvalidRequestError: Too many, or too large together.
    """
    if len(sizes) > limits.MAX_PRODUCT_IMAGES:
        raise InvalidRequestError(
            f"product {product_id}: {len(sizes)} photos, the limit is {limits.MAX_PRODUCT_IMAGES}; "
            "leave out those that show the least of it"
        )
    if sum(sizes) > limits.MAX_PRODUCT_IMAGES_BYTES:
        raise InvalidRequestError(
            f"product {product_id}: its photos have {sum(sizes):,} bytes together, the limit is "
            f"{limits.MAX_PRODUCT_IMAGES_BYTES:,}; send smaller ones"
        )


def photos_digest(photos: Sequence[bytes]) -> bytes:
    """Return the SHA-256 that stands for a product's photos: of the one, or of the digests of several, in order."""
    digests = [hashlib.sha256(photo).digest() for photo in photos]
    return digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()


def content_hash(product: Mapping[str, Any], photos: Sequence[bytes], query_text: str) -> str:
    """Return the SHA-256 that tells whether a product changed: fields, photos and words, in hex.

    Client and server compute it alike, so a client can ask which products the server already holds.
    """
    return content_hash_of_digest(product, photos_digest(photos), query_text)


def content_hash_of_digest(product: Mapping[str, Any], image_digest: bytes, query_text: str) -> str:
    """Return the same hash from the photos' digest."""
    canonical = json.dumps(product, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256()
    for part in (canonical.encode(), image_digest, query_text.encode("utf-8", "surrogatepass")):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
