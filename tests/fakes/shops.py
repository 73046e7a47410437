"""A shop in memory: products with vectors and words, and the service that answers for it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from product_match.contract.browsing import Bounds, Shelf, Shown
from product_match.contract.products import point_id
from product_match.contract.rules import Rules, read_rule
from product_match.index.product_cache import StoredProduct
from product_match.retrieval.service import RetrievalService
from product_match.statistics.catalogue import CatalogueStatistics
from product_match.triton.batches import Answer, BatchRequest, bytes_column
from product_match.words.analysis import Analyser
from tests.fakes.catalogues import POINT_MAKER
from tests.fakes.encoders import encoder_spec
from tests.fakes.indexes import ExactIndex
from tests.fakes.plain_filters import fits

COLOURS = ("red", "blue", "navy", "green")
KINDS = ("tee", "dress", "hat", "jacket", "sock")
BRANDS = ("Acme", "Bolt", "Cove")


def unit(*values: float) -> np.ndarray:
    vector = np.asarray(values, np.float32)
    return vector / np.linalg.norm(vector)


def random_products(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Products with names of a few words; some lack a brand or a price."""
    chance = random.Random(seed)
    products = []
    for number in range(count):
        colour, kind = chance.choice(COLOURS), chance.choice(KINDS)
        product = {"id": f"p{number}", "name": f"{colour} {kind}", "category": f"{kind}s", "color": colour}
        if chance.random() < 0.8:
            product["brand"] = chance.choice(BRANDS)
        if chance.random() < 0.9:
            product["price"] = chance.randrange(1, 60) / 2
        products.append(product)
    return products


def random_vectors(count: int, seed: int = 0) -> list[np.ndarray]:
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(count, 4)) + np.eye(4)[0]
    return [unit(*row) for row in rows]


class MemoryShop:
    """Products by point id; `gone` have been deleted since they were indexed."""

    def __init__(self, products: Sequence[Mapping[str, Any]], seed: int = 0, gone: Sequence[str] = ()) -> None:
        self.products = {point_id(product["id"]): dict(product) for product in products}
        self.gone = {point_id(product_id) for product_id in gone}
        vectors = random_vectors(2 * len(products), seed)
        points = []
        for number, (id_, product) in enumerate(self.products.items()):
            held = {"image_embeds": vectors[2 * number].tobytes(), "text_embeds": vectors[2 * number + 1].tobytes()}
            points.append(POINT_MAKER.point({"_id": id_, "rev": 1, "product": product, **held}))
        self.index = ExactIndex(points)
        self.statistics = CatalogueStatistics()
        self.statistics.vocabulary.add(Analyser(), products)
        self.fetches: list[list[str]] = []
        self.rules: list[dict[str, Any]] = []
        self.service = RetrievalService(
            encoder_spec(), self.index, self, lambda: self.statistics, language="english", rules=self.kept
        )

    def kept(self) -> Rules:
        return Rules([read_rule(rule) for rule in self.rules])

    def fetch(self, ids: Sequence[str]) -> dict[str, StoredProduct]:
        self.fetches.append(list(ids))
        there = [id_ for id_ in ids if id_ not in self.gone]
        return {
            id_: StoredProduct(self.products[id_]["id"], json.dumps(self.products[id_]).encode()) for id_ in there
        }

    def browse(self, shelf: Shelf) -> tuple[list[StoredProduct], Shown]:
        """Read the products one by one, as they are written down."""
        held = [p for id_, p in self.products.items() if id_ not in self.gone]
        held = [p for p in held if shelf.filter is None or fits(shelf.filter, p)]
        held.sort(key=lambda product: product["id"])
        having = [product for product in held if shelf.sort.field in product]
        having.sort(key=lambda product: product[shelf.sort.field], reverse=shelf.sort.descending)
        ordered = having + [product for product in held if shelf.sort.field not in product]
        by_id = {product["id"]: product for product in ordered}
        first = [by_id[id_] for id_ in shelf.first if id_ in by_id]
        last = [by_id[id_] for id_ in shelf.last if id_ in by_id]
        ordered = [*first, *(p for p in ordered if p not in first and p not in last), *last]
        page = ordered[shelf.offset : shelf.offset + shelf.limit]
        bounds = {}
        for name in shelf.numbers:
            values = [product[name] for product in held if name in product]
            bounds[name] = Bounds(len(values), min(values), max(values)) if values else None
        return [StoredProduct(p["id"], json.dumps(p).encode()) for p in page], Shown(page, len(held), bounds)

    def ask(self, *requests: BatchRequest) -> list[Answer]:
        return self.service(requests)

    def row(self, text: str = "", **parameters: Any) -> dict[str, Any]:
        """Ask for words, or with none for what the parameters alone ask for; raise what is wrong."""
        (answer,) = self.ask(words(text, **parameters))
        if isinstance(answer, Exception):
            raise answer
        return json.loads(answer["matches"][0, 0])


def words(text: str, vector: np.ndarray | None = None, **parameters: Any) -> BatchRequest:
    tensors = {
        "text_embeds": np.stack([unit(1, 0, 0, 0) if vector is None else vector]),
        "text_given": np.asarray([[bool(text)]]),
        "query_text": bytes_column([text.encode()]),
    }
    return BatchRequest(tensors=tensors, parameters=parameters, request_id="q")


def photo(vector: np.ndarray, **parameters: Any) -> BatchRequest:
    tensors = {"image_embeds": np.stack([vector]), "image_given": np.asarray([[True]])}
    return BatchRequest(tensors=tensors, parameters=parameters, request_id="q")


def ids(row: Mapping[str, Any]) -> list[str]:
    return [match["product_id"] for match in row["matches"]]
