"""From a document to its point in the vector index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from product_match.contract.products import FILTER_FIELDS
from product_match.contract.vectors import IMAGE_VECTOR, PayloadValue
from product_match.documents.records import EMBEDDING_FIELDS, IMAGE_COUNT, unpack_vector
from product_match.vectors.vector_index import VectorPoint
from product_match.words.encoding import WordsEncoder, WordsRecipe

POINT_FIELDS: Final[Mapping[str, int]] = dict.fromkeys(
    ("rev", "product", "query_text", *EMBEDDING_FIELDS.values(), IMAGE_COUNT), 1
)
"""The fields of a document that its point is made of."""


class PointMaker:
    """Makes points whose words follow one recipe."""

    def __init__(self, recipe: WordsRecipe) -> None:
        """Follow `recipe`."""
        self.recipe = recipe
        self._words = WordsEncoder(recipe)

    def point(self, document: Mapping[str, Any]) -> VectorPoint:
        """Return the point that a document (not a tombstone) stands for in the vector index.

        Args:
            document: With at least the fields of POINT_FIELDS.
        """
        vectors = {
            name: unpack_vector(document[field]) for name, field in EMBEDDING_FIELDS.items() if document.get(field)
        }
        if IMAGE_COUNT in document:
            vectors[IMAGE_VECTOR] = vectors[IMAGE_VECTOR].reshape(document[IMAGE_COUNT], -1)  # [k, D]
        return VectorPoint(
            id=document["_id"],
            rev=int(document["rev"]),
            vectors=vectors,
            payload=filter_payload(document.get("product", {})),
            words=self._words.product_vector(document.get("product", {}), document.get("query_text", "")),
        )


def filter_payload(product: Mapping[str, Any]) -> dict[str, PayloadValue]:
    """Return the fields of a product that can be filtered on."""
    found = ((f.name, product.get(f.name)) for f in FILTER_FIELDS)
    return {name: value for name, value in found if value is not None}
