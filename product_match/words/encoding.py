"""From terms to the sparse vector `words`: BM25 by Qdrant's own embedder, so that both engines score alike.

What is stored is BM25's weight of each term in its product; the engine multiplies it by the term's rarity in the
catalogue (IDF) when it searches. Terms are analysed before, so the embedder only counts and hashes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

import qdrant_edge

from product_match.contract.errors import ConfigError
from product_match.contract.vectors import SparseVector
from product_match.words.analysis import DEFAULT_LANGUAGE, LANGUAGES, Analyser
from product_match.words.fields import product_terms

VERSION: Final = 2
"""Of the analysis and the fields' weights: an index that was made with another is derived again."""

SATURATION: Final = 1.2
LENGTH_SHARE: Final = 0.6
"""BM25's k and b. Descriptions of one shop differ in length by habit more than by content, hence b below its usual
0.75; `benchmarks.fusion` compares."""

DEFAULT_AVERAGE_LENGTH: Final = 50.0


@dataclass(frozen=True, kw_only=True)
class WordsRecipe:
    """How the words of an index were made; two of them fit together only where they are equal.

    Attributes:
        version: VERSION of the program that made them.
        language: Language of the words.
        average_length: Mean number of terms of a product, which BM25 compares a product's own with.
    """

    version: int = VERSION
    language: str = DEFAULT_LANGUAGE
    average_length: float = DEFAULT_AVERAGE_LENGTH

    def __post_init__(self) -> None:
        """Check what the analysis and the embedder rely on."""
        if self.language not in LANGUAGES:
            raise ConfigError(f"language {self.language!r} is not known; known are {', '.join(LANGUAGES)}")
        if not 0 < self.average_length < 1e6:
            raise ConfigError(f"the average length of products' words must be above 0, got {self.average_length}")

    @property
    def fits(self) -> bool:
        """Whether this version makes the same vectors."""
        return self.version == VERSION

    def to_json(self) -> str:
        """Return the recipe as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WordsRecipe:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: It is something else.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(**fields)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"the recipe of an index's words cannot be read ({error}): {text[:80]!r}") from error


class WordsEncoder:
    """Makes the sparse vectors of one recipe."""

    def __init__(self, recipe: WordsRecipe) -> None:
        """Follow `recipe`."""
        self.recipe = recipe
        self.analyser = Analyser(recipe.language)
        self._bm25 = qdrant_edge.Bm25(
            qdrant_edge.Bm25Config(
                k=SATURATION,
                b=LENGTH_SHARE,
                avg_len=recipe.average_length,
                tokenizer=qdrant_edge.TokenizerType.Whitespace,
                lowercase=False,
                stopwords=qdrant_edge.StopwordsSet(),
                stemmer=qdrant_edge.DisabledStemmer(),
            )
        )
        self._term_id = lru_cache(maxsize=65_536)(self._hash)

    def product_vector(self, product: Mapping[str, Any], query_text: str = "") -> SparseVector | None:
        """Return the vector of a product's words; None where it has none.

        Args:
            product: Its fields.
            query_text: Words that came with it for the text encoder; they count where they are not the fields' own.
        """
        return self.terms_vector(product_terms(self.analyser, product, query_text))

    def terms_vector(self, terms: Sequence[str]) -> SparseVector | None:
        """Return the vector of a product that has these terms, each as often as it counts."""
        if not terms:
            return None
        vector = self._bm25.embed_document(" ".join(terms))
        return SparseVector(indices=tuple(vector.indices), values=tuple(vector.values))

    def query_vector(self, weights: Mapping[str, float]) -> SparseVector:
        """Return the vector that looks for terms, each with its weight; two terms of one hash add up."""
        found: dict[int, float] = {}
        for term, weight in weights.items():
            id_ = self._term_id(term)
            found[id_] = found.get(id_, 0.0) + weight
        return SparseVector(indices=tuple(found), values=tuple(found.values()))

    def _hash(self, term: str) -> int:
        return int(self._bm25.embed_query(term).indices[0])
