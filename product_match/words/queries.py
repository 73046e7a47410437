"""What the words of a query look for: terms with weights, other words for them, and what may be an identifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from product_match.contract.vectors import SparseVector
from product_match.words.relations import Phrase

FULL_WEIGHT: Final = 1.8
"""BM25's weight of a term in a product that is about it: what `held` counts as all of a word."""


@dataclass(frozen=True, slots=True)
class QueryWord:
    """One word of a query, or several that name one thing.

    Attributes:
        weight: How much it says: its rarity in the catalogue, less for a stop word.
        sayings: What it is looked up by and what each is worth: 1 for a word as it was typed, less for a repair. A
            product that has all terms of one of them has the word. Empty where no product has it.
        related: Other words for it, where no product is what it says.
        is_head: Whether it says what is looked for: "trousers" in "kids trousers with pandas".
        is_stop_word: Whether it says next to nothing, as "with" does.
        names_goods: Whether it says what is looked for, and is what a thing to buy is called.
        is_sold: Whether it says what is looked for, and the catalogue has products that are one.
    """

    weight: float
    sayings: Mapping[Phrase, float]
    related: Mapping[Phrase, float]
    is_head: bool
    is_stop_word: bool
    names_goods: bool = False
    is_sold: bool = False

    @property
    def share(self) -> float:
        """What the best of its sayings is worth; 0 where no product has any."""
        return max((*self.sayings.values(), *self.related.values()), default=0.0)

    def share_in(self, everywhere: frozenset[str], named: frozenset[str]) -> float:
        """What the word is worth to a product that has terms `everywhere`, of which some name it.

        Another word names the product, or is there by chance: "a bag of carrots" is no handbag.
        """
        said = [share for saying, share in self.sayings.items() if everywhere.issuperset(saying)]
        said += [share for saying, share in self.related.items() if named.issuperset(saying)]
        return max(said, default=0.0)


@dataclass(frozen=True, kw_only=True)
class WordQuery:
    """What the words of a query look for.

    Attributes:
        words: The words that were typed, in order.
        vector: For the sparse vector `words`; empty where no product has any of the words.
        identifiers: For the same vector: what only a product with such an identifier has; None where none was typed.
        attainable: The score of a product that is about every word; 0 where there are no words.
        known: Share of the words' weight that some product has, 0 to 1; a repaired word counts less.
        repaired: What was typed, and what it was taken for.
    """

    words: tuple[QueryWord, ...]
    vector: SparseVector
    identifiers: SparseVector | None
    attainable: float
    known: float
    repaired: Mapping[str, str] = field(default_factory=dict)

    def held(self, score: float) -> float:
        """Return how much of the query a product of this score has: about 1 where it is about every word."""
        return score / self.attainable if self.attainable > 0 else 0.0
