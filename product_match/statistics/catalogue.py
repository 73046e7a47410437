"""The statistics of one catalogue under one encoder, and how they are kept in the document store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract.errors import ConfigError
from product_match.contract.vectors import VECTOR_NAMES
from product_match.documents.records import pack_vector, unpack_vector
from product_match.statistics.logistic import LogisticMap
from product_match.statistics.similarity import Background
from product_match.words.vocabulary import Vocabulary

FORMAT: Final = 1


@dataclass(kw_only=True)
class CatalogueStatistics:
    """What is known of a catalogue.

    Attributes:
        vocabulary: Its words; grows as products come.
        backgrounds: Some of its vectors, by their name.
        image_fit: What the similarity of two photos says; None where nothing could be learned.
        products: How many products there were when the whole was counted.
        version: Grows with each time that the whole is counted.
    """

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    backgrounds: Mapping[str, Background] = field(default_factory=dict)
    image_fit: LogisticMap | None = None
    products: int = 0
    version: int = 0

    def background(self, vector_name: str, dimension: int) -> Background:
        """Return the vectors of one name; none where there are no products yet."""
        return self.backgrounds.get(vector_name) or Background(np.zeros((0, dimension), np.float32))

    def to_document(self) -> dict[str, Any]:
        """Return the fields that a document keeps."""
        return {
            "format": FORMAT,
            "version": self.version,
            "products": self.products,
            "vocabulary": self.vocabulary.to_bytes(),
            "image_fit": None if self.image_fit is None else [*self.image_fit.weights, self.image_fit.bias],
            **{f"background_{name}": pack_vector(found.vectors) for name, found in self.backgrounds.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], dimension: int) -> CatalogueStatistics:
        """Read what `to_document` returned.

        Args:
            document: The document.
            dimension: Length of a vector.

        Raises:
            ConfigError: It was written by another version, or is damaged.
        """
        if document.get("format") != FORMAT:
            raise ConfigError(
                f"the catalogue's statistics have the format {document.get('format')!r}, and this version writes "
                f"{FORMAT}; they are counted anew"
            )
        try:
            numbers = document["image_fit"]
            backgrounds = {
                name: Background(_rows(document[f"background_{name}"], dimension))
                for name in VECTOR_NAMES
                if f"background_{name}" in document
            }
            return cls(
                vocabulary=Vocabulary.from_bytes(document["vocabulary"]),
                backgrounds=backgrounds,
                image_fit=None if numbers is None else LogisticMap(tuple(numbers[:-1]), numbers[-1]),
                products=int(document["products"]),
                version=int(document["version"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"the catalogue's statistics cannot be read ({error!r}); they are counted anew"
            ) from error


def _rows(data: bytes, dimension: int) -> NDArray[np.float32]:
    return unpack_vector(data).reshape(-1, dimension)
