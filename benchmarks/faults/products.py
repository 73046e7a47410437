"""Small catalogues made of the sample's products, with ids of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ConfigError

SAMPLE: Final = Path(__file__).parents[2] / "sample_data"


def make_products(count: int, sample: Path = SAMPLE) -> list[dict[str, Any]]:
    """Return products with ids, names and prices of their own, each with a photo that no other one has.

    Raises:
        ConfigError: The sample has fewer products.
    """
    lines = (sample / "products.jsonl").read_text(encoding="utf-8").splitlines()
    if not 1 <= count <= len(lines):
        raise ConfigError(f"a catalogue of 1 to {len(lines)} products can be made of the sample, not of {count}")
    step = len(lines) / count
    products: list[dict[str, Any]] = []
    for number in range(count):
        product = json.loads(lines[int(number * step)])
        product["id"] = f"fault-{number:04d}"
        product["name"] = f"{product['name']}, lot {number}"
        product["price"] = round(float(product.get("price", 10)) + number / 100, 2)
        product["image"] = str(sample / product["image"])
        products.append(product)
    return products


def write_products(products: list[dict[str, Any]], path: Path) -> None:
    """Write a source for `product-match index`."""
    path.write_text("".join(json.dumps(product) + "\n" for product in products), encoding="utf-8")
