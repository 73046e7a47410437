"""Products of any number, made of the sample's on the fly."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageEnhance

from product_match.contract.errors import ConfigError

QUALITIES: Final = (70, 94)


class GeneratedCatalogue:
    """Lines of JSON for `product-match index -`; the same arguments give the same lines.

    Every product has its own id, name and price. Its photo is one of the sample's: a stated share is cropped by a few
    pixels, brightened or darkened a little and encoded again, so that its bytes and its embedding are its own; the
    others are given by path, and repeat.
    """

    def __init__(self, sample: Path, *, distinct: float, seed: int) -> None:
        """Use the sample catalogue in a directory.

        Args:
            sample: Has `products.jsonl` and the photos that it names.
            distinct: Share of products that have a photo of their own, from 0 to 1.
            seed: Decides which, and how they differ.

        Raises:
            ConfigError: The share is none.
        """
        if not 0 <= distinct <= 1:
            raise ConfigError(f"the share of photos of their own must be 0 to 1, got {distinct}")
        self._sample, self._distinct, self._seed = sample, distinct, seed
        lines = (sample / "products.jsonl").read_text(encoding="utf-8").splitlines()
        self._products: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self._photos: dict[str, Image.Image] = {}
        self.distinct_photos = 0

    def lines(self, count: int) -> Iterator[bytes]:
        """Yield `count` lines."""
        rng = random.Random(self._seed)
        for number in range(count):
            yield json.dumps(self.product(number, rng)).encode() + b"\n"

    def product(self, number: int, rng: random.Random) -> dict[str, Any]:
        """Return one product as `index` reads it."""
        product = dict(self._products[number % len(self._products)])
        photo = self._sample / str(product.pop("image"))
        product["id"] = f"load-{number:07d}"
        product["name"] = f"{product['name']}, batch {number // len(self._products)}"
        product["price"] = round(float(product.get("price", 10)) * rng.uniform(0.8, 1.2), 2)
        if rng.random() < self._distinct:
            self.distinct_photos += 1
            product["image_base64"] = base64.b64encode(self._own(photo, rng)).decode()
        else:
            product["image"] = str(photo)
        return product

    def _own(self, path: Path, rng: random.Random) -> bytes:
        if str(path) not in self._photos:
            with Image.open(path) as opened:
                self._photos[str(path)] = opened.convert("RGB")
        photo = self._photos[str(path)]
        box = (rng.randint(0, 12), rng.randint(0, 12), photo.width - rng.randint(0, 12), photo.height)
        changed = ImageEnhance.Brightness(photo.crop(box)).enhance(rng.uniform(0.85, 1.15))
        encoded = io.BytesIO()
        changed.save(encoded, "JPEG", quality=rng.randint(*QUALITIES))
        return encoded.getvalue()
