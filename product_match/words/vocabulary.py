"""Which words the products of a catalogue have, and in how many products each stands."""

from __future__ import annotations

import json
import math
import threading
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from product_match.contract.errors import ConfigError
from product_match.words.analysis import Analyser
from product_match.words.fields import field_texts, sold_terms

LEAST_LETTERS: Final = 4
"""Letters of the words that are kept in their own spelling, for repairs of words of one letter more or less."""


def _spellings(surface: str) -> list[str]:
    """Return what a word may be compared with: itself, and without a plural's "s", which a typist may leave out."""
    if len(surface) < LEAST_LETTERS or not surface.isalpha():
        return []
    return [surface, surface[:-1]] if surface.endswith("s") else [surface]


class Vocabulary:
    """Counts of terms and spellings.

    Products are only ever added: what a removed or changed one had stays counted until the whole is counted again; a
    word too many does no harm.

    Attributes:
        products: Products that were added.
        terms: Terms that these products have, together.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.products = 0
        self.terms = 0
        self._frequency: Counter[str] = Counter()
        self._sold: Counter[str] = Counter()
        self._spellings: dict[int, dict[str, int]] = {}
        self._lock = threading.Lock()

    def add(self, analyser: Analyser, products: Iterable[Mapping[str, Any]]) -> None:
        """Count the words of products."""
        for product in products:
            found: set[str] = set()
            spelt: set[str] = set()
            sold = set(sold_terms(analyser, product))
            length = 0
            for text, weight in field_texts(product):
                for word in analyser.words(text):
                    found.update(word.terms)
                    length += len(word.terms) * weight
                    spelt.update(_spellings(word.surface))
            with self._lock:
                self.products += 1
                self.terms += length
                self._frequency.update(found)
                self._sold.update(sold)
                for surface in spelt:
                    alike = self._spellings.setdefault(len(surface), {})
                    alike[surface] = alike.get(surface, 0) + 1

    def frequency(self, term: str) -> int:
        """Return in how many products a term stands."""
        return self._frequency.get(term, 0)

    def is_sold(self, term: str) -> bool:
        """Say whether a product is what a term says, and does not only mention it."""
        return term in self._sold

    def rarity(self, term: str) -> float:
        """Return a term's IDF, as both engines compute it: ln(1 + (N - n + 0.5) / (n + 0.5))."""
        return self._rarity(self._frequency.get(term, 0))

    def sold_rarity(self, term: str) -> float:
        """Return the IDF of being what a term says."""
        return self._rarity(self._sold.get(term, 0))

    def _rarity(self, holding: int) -> float:
        held = min(holding, self.products)
        return math.log(1.0 + (self.products - held + 0.5) / (held + 0.5))

    def spellings(self, letters: int) -> dict[str, int]:
        """Return the words of so many letters, and in how many products each stands."""
        with self._lock:
            return dict(self._spellings.get(letters, {}))

    @property
    def average_length(self) -> float | None:
        """Mean number of terms of a product, as often as each counts; None while there are no products."""
        return self.terms / self.products if self.products else None

    def to_bytes(self) -> bytes:
        """Return the whole, compressed."""
        with self._lock:
            fields = {
                "products": self.products,
                "terms": self.terms,
                "frequency": self._frequency,
                "sold": self._sold,
                "spellings": {word: n for alike in self._spellings.values() for word, n in alike.items()},
            }
            return zlib.compress(json.dumps(fields).encode(), 6)

    @classmethod
    def from_bytes(cls, data: bytes) -> Vocabulary:
        """Read what `to_bytes` wrote.

        Raises:
            ConfigError: It is something else.
        """
        vocabulary = cls()
        try:
            fields = json.loads(zlib.decompress(data))
            vocabulary.products, vocabulary.terms = int(fields["products"]), int(fields["terms"])
            vocabulary._frequency, vocabulary._sold = Counter(fields["frequency"]), Counter(fields["sold"])
            for word, n in fields["spellings"].items():
                vocabulary._spellings.setdefault(len(word), {})[word] = n
        except (zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"the catalogue's vocabulary cannot be read ({error!r}); `product-match rebuild` counts it anew"
            ) from error
        return vocabulary
