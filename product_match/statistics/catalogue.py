"""The statistics of one catalogue under one encoder, and how they are kept in the document store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from product_match.contract.errors import ConfigError
from product_match.statistics.logistic import LogisticMap
from product_match.words.vocabulary import Vocabulary

FORMAT: Final = 2


@dataclass(kw_only=True)
class CatalogueStatistics:
    """What is known of a catalogue.

    Attributes:
        vocabulary: Its words; grows as products come.
        image_fit: What the similarity of two photos says; None where nothing could be learned.
        products: How many products there were when the whole was counted.
        version: Grows with each time that the whole is counted.
    """

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    image_fit: LogisticMap | None = None
    products: int = 0
    version: int = 0

    def to_document(self) -> dict[str, Any]:
        """Return the fields that a document keeps."""
        return {
            "format": FORMAT,
            "version": self.version,
            "products": self.products,
            "vocabulary": self.vocabulary.to_bytes(),
            "image_fit": None if self.image_fit is None else [*self.image_fit.weights, self.image_fit.bias],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> CatalogueStatistics:
        """Read what `to_document` returned.

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
            return cls(
                vocabulary=Vocabulary.from_bytes(document["vocabulary"]),
                image_fit=None if numbers is None else LogisticMap(tuple(numbers[:-1]), numbers[-1]),
                products=int(document["products"]),
                version=int(document["version"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"the catalogue's statistics cannot be read ({error!r}); they are counted anew"
            ) from error
