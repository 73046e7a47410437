"""Fills the stores to a size that the encoder would take hours for: products like those that are there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import StackError, UnavailableError
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR
from product_match.documents.connection import connect
from product_match.documents.records import EMBEDDING_FIELDS, ProductWrite, Receipt, unpack_vector
from product_match.documents.store import LIVE, DocumentStore
from product_match.documents.writing import write_products
from product_match.settings import Secret, ServingSettings

BATCH: Final = 64
PATTERNS: Final = 500
NOISE: Final = 0.2
"""Length of what is added to a unit vector in a random direction: near its pattern, and nobody else's copy."""

ATTEMPTS: Final = 8
DATABASE: Final = "product_match"
_STORE_TIMEOUT_S: Final = 10.0


def fill(
    mongodb_uri: str, encoder_directory: Path, photo: Path, *, products: int, seed: int, database: str = DATABASE
) -> int:
    """Write products into the documents, for the server to take into its index, until there are so many.

    Each is one that is there already, with an id, a price and vectors of its own; all share one photo.

    Args:
        mongodb_uri: The document store of a running server.
        encoder_directory: The server's.
        photo: A photo for all of them.
        products: How many there will be.
        seed: Decides prices and vectors.
        database: The server's.

    Returns:
        How many were written.

    Raises:
        StackError: There is nothing to be like, or a product was refused.
    """
    settings = ServingSettings(
        encoder_directory=encoder_directory,
        mongodb_uri=Secret(mongodb_uri),
        mongodb_database=database,
        index_directory=Path("unused"),
        owner_socket=Path("unused"),
        store_timeout_s=_STORE_TIMEOUT_S,
    )
    documents = DocumentStore(connect(settings), settings, load_encoder(encoder_directory).identity)
    try:
        patterns = documents.page("", PATTERNS, LIVE)
        if not patterns:
            raise StackError("there is no product to make others like; load some first")
        rng = np.random.default_rng(seed)
        image = photo.read_bytes()
        held = documents.count()
        for start in range(held, products, BATCH):
            numbers = range(start, min(start + BATCH, products))
            _write(documents, [like(patterns[n % len(patterns)], n, image, rng) for n in numbers])
        return max(0, products - held)
    finally:
        documents.close()


def like(pattern: Mapping[str, Any], number: int, image: bytes, rng: np.random.Generator) -> ProductWrite:
    """Return a product like one that is there, with an id, a price and vectors of its own."""
    price = round(float(pattern["product"].get("price", 10)) * float(rng.uniform(0.8, 1.2)), 2)
    vectors = {
        name: _near(unpack_vector(pattern[field]), rng) if field in pattern else None
        for name, field in EMBEDDING_FIELDS.items()
    }
    return ProductWrite(
        product={**pattern["product"], "id": f"fill-{number:07d}", "price": price},
        photos=[image],
        query_text=str(pattern.get("query_text", "")),
        image_embeds=vectors[IMAGE_VECTOR],
        text_embeds=vectors[TEXT_VECTOR],
    )


def _near(vector: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    moved = vector + rng.standard_normal(len(vector), np.float32) * np.float32(NOISE / np.sqrt(len(vector)))
    near: NDArray[np.float32] = (moved / np.linalg.norm(moved)).astype(np.float32)
    return near


def _write(documents: DocumentStore, batch: list[ProductWrite]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            results = write_products(documents, batch)
            break
        except UnavailableError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(0.2 * attempt)
    refused = [result for result in results if not isinstance(result, Receipt)]
    if refused:
        raise StackError(f"a product was refused: {refused[0]}")
