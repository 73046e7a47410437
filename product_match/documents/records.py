"""What is written to the catalogue and what comes back."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from bson.binary import Binary
from numpy.typing import NDArray

from product_match.contract.products import content_hash
from product_match.contract.vectors import IMAGE_VECTOR, TEXT_VECTOR

EMBEDDING_FIELDS: Final[Mapping[str, str]] = {IMAGE_VECTOR: "image_embeds", TEXT_VECTOR: "text_embeds"}
"""Field of a document that holds the vector of each name."""

IMAGE_COUNT: Final = "image_count"
"""Field of a document that says how many photos it has, and rows its `image_embeds`, where these are several."""

_FLOAT32: Final = np.dtype("<f4")


class Outcome(enum.Enum):
    """What writing a product did."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, kw_only=True)
class ProductWrite:
    """One product to be written, checked by the contract's `parse_product`.

    Attributes:
        product: The product's fields.
        photos: The encoded photos, the one that shows it best first; empty where there are none.
        query_text: The words that were encoded; empty where there are none.
        image_embeds: Unit vectors of the photos, float32 [k, D] ([D] will do for one), or None.
        text_embeds: Unit vector of the words, float32 [D], or None.
    """

    product: Mapping[str, Any]
    photos: Sequence[bytes] = field(default=(), repr=False)
    query_text: str = ""
    image_embeds: NDArray[np.float32] | None = None
    text_embeds: NDArray[np.float32] | None = None

    @property
    def product_id(self) -> str:
        """The product's id."""
        return str(self.product["id"])

    def content_hash(self) -> str:
        """Return the hash that tells whether anything changed."""
        return content_hash(self.product, self.photos, self.query_text)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of one product: its id in both stores, its revision and what was done."""

    product_id: str
    point_id: str
    rev: int
    outcome: Outcome

    def to_dict(self, *, searchable: bool | None = None) -> dict[str, Any]:
        """Return the JSON of a receipt.

        Args:
            searchable: With `wait`, whether the product can be found by now; None leaves it out.
        """
        receipt: dict[str, Any] = {"id": self.product_id, "rev": self.rev, "status": self.outcome.value}
        if searchable is not None:
            receipt["searchable"] = searchable
        return receipt


def pack_vector(vector: NDArray[np.float32]) -> Binary:
    """Return a vector, or the rows of several, as a document holds it: little-endian float32."""
    packed: Binary = Binary(np.ascontiguousarray(vector, dtype=_FLOAT32).tobytes())
    return packed


def unpack_vector(data: bytes) -> NDArray[np.float32]:
    """Return the vector that `pack_vector` packed."""
    return np.frombuffer(data, dtype=_FLOAT32).astype(np.float32, copy=False)
