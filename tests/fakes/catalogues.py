"""Products with made-up vectors, for tests of the catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np

from product_match.contract.products import photos_digest, point_id
from product_match.documents.records import ProductWrite
from product_match.documents.writing import write_products
from product_match.index.points import PointMaker
from product_match.words.encoding import WordsRecipe

DIMENSION = 4
RECIPE = WordsRecipe()
POINT_MAKER = PointMaker(RECIPE)


def unit_vector(seed: int, dimension: int = DIMENSION) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def photo_bytes(number: int, place: int = 0) -> bytes:
    return b"photo %d" % number + b"/%d" % place * (place > 0)


def image_digest(*photos: bytes) -> str:
    """What a document names photos by."""
    return photos_digest(photos).hex()


def photo_vector(number: int, place: int = 0) -> np.ndarray:
    return unit_vector(number + 1_000_000 * place)


def product_write(
    number: int, *, image: bool = True, text: bool = True, photos: int = 1, **fields: Any
) -> ProductWrite:
    """Product `p<number>`; fields that are None are left out."""
    product = {
        "id": f"p{number}",
        "name": f"Product {number}",
        "category": ("Shoes", "Hats", "Fruit")[number % 3],
        "price": number + 0.5,
        **fields,
    }
    return ProductWrite(
        product={name: value for name, value in product.items() if value is not None},
        photos=[photo_bytes(number, place) for place in range(photos if image else 0)],
        query_text=f"words {number}" if text else "",
        image_embeds=np.stack([photo_vector(number, place) for place in range(photos)]) if image else None,
        text_embeds=unit_vector(number + 100_000) if text else None,
    )


def write_all(documents: Any, *writes: ProductWrite) -> dict[str, int]:
    """Write products and return their revisions by point id."""
    receipts = write_products(documents, writes)
    return {receipt.point_id: receipt.rev for receipt in receipts}


def points(*numbers: int) -> list[str]:
    return [point_id(f"p{number}") for number in numbers]
