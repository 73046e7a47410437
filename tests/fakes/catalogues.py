"""Products with made-up vectors, for tests of the catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np

from product_match.catalogue.records import ProductWrite
from product_match.catalogue.writing import write_products
from product_match.contract.products import point_id

DIMENSION = 4


def unit_vector(seed: int, dimension: int = DIMENSION) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def product_write(number: int, *, image: bool = True, text: bool = True, **fields: Any) -> ProductWrite:
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
        image_bytes=b"photo %d" % number if image else b"",
        query_text=f"words {number}" if text else "",
        image_embeds=unit_vector(number) if image else None,
        text_embeds=unit_vector(number + 100_000) if text else None,
    )


def write_all(documents: Any, *writes: ProductWrite) -> dict[str, int]:
    """Write products and return their revisions by point id."""
    receipts = write_products(documents, writes)
    return {receipt.point_id: receipt.rev for receipt in receipts}


def points(*numbers: int) -> list[str]:
    return [point_id(f"p{number}") for number in numbers]
