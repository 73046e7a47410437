"""How much of a query's words a product has, and where: in what it is called, or only in what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from product_match.words.analysis import Analyser
from product_match.words.fields import field_texts, product_identifiers, sold_terms, typed_identifiers
from product_match.words.queries import QueryWord, WordQuery
from product_match.words.relations import BROADER_SHARE, Phrase

NAMING_WEIGHT: Final = 2
"""Fields whose words count at least so often name the product; the others describe it."""

NAMED_HEAD: Final = 0.6
DESCRIBED_HEAD: Final = 0.2
"""What is looked for is worth 1 where the product is one, less where its name or its description mentions it."""


@dataclass(frozen=True, slots=True)
class ProductWords:
    """The terms of one product.

    Attributes:
        heads: Of the word of its name that says what it is, and of its category.
        named: Of its name, brand, category and colour.
        all: Of all its fields.
        identifiers: In the form that they are compared in.
    """

    heads: frozenset[str]
    named: frozenset[str]
    all: frozenset[str]
    identifiers: frozenset[str]

    def is_one(self, saying: Phrase) -> bool:
        """Say whether the product is what a saying says: of several words that name a thing the last says what."""
        return saying[-1] in self.heads and self.all.issuperset(saying)


@dataclass(frozen=True, slots=True)
class WordEvidence:
    """What a product has of a query's words, each 0 to 1.

    Attributes:
        held: Share of the words, by weight, that the product has anywhere.
        named: Share that it has in its name, brand, category or colour.
        head: Whether it is what is looked for, or only mentions it.
        beside: 1 where the product is another thing than what was asked for, and only mentions that, as a tee with a
            surfboard on it. Of several words the last may be a part ("button fly"), unless such things are sold.
        kind: 1 where it is what is looked for, by another name too or by that of the next wider kind: a jacket, for a
            windbreaker.
        missing: Share of the words that it has nowhere, stop words aside, each counting the same.
        identified: 1 where the query is one of its identifiers, or has one.
    """

    held: float
    named: float
    head: float
    beside: float
    kind: float
    missing: float
    identified: float


def product_words(analyser: Analyser, product: Mapping[str, Any], query_text: str = "") -> ProductWords:
    """Return the terms of a product."""
    named: set[str] = set()
    described: set[str] = set(analyser.terms(query_text))
    for text, weight in field_texts(product):
        (named if weight >= NAMING_WEIGHT else described).update(analyser.terms(text))
    return ProductWords(
        heads=frozenset(sold_terms(analyser, product)),
        named=frozenset(named),
        all=frozenset(named | described),
        identifiers=frozenset(product_identifiers(product)),
    )


def word_evidence(query: WordQuery, text: str, product: ProductWords) -> WordEvidence:
    """Return what `product` has of the words of `text`, which were read as `query`."""
    weight = held = named = head = looked_for = mentioned = telling = missing = 0.0
    kind = False
    alone = sum(not word.is_stop_word for word in query.words) == 1
    for word in query.words:
        weight += word.weight
        share = word.share_in(product.all, product.named)
        held += word.weight * share
        named += word.weight * word.share_in(product.named, product.named)
        if not word.is_stop_word:
            telling += 1.0
            missing += share <= BROADER_SHARE
        if word.is_head:
            looked_for += 1.0
            is_one = _head(word, product)
            kind |= any(map(product.is_one, (*word.sayings, *word.related)))
            head += is_one
            mentioned += is_one <= NAMED_HEAD and (word.is_sold or (word.names_goods and alone))
    return WordEvidence(
        held=held / weight if weight else 0.0,
        named=named / weight if weight else 0.0,
        head=head / looked_for if looked_for else 0.0,
        beside=float(mentioned > 0),
        kind=float(kind),
        missing=missing / telling if telling else 0.0,
        identified=float(any(form in product.identifiers for form in typed_identifiers(text))),
    )


def _head(word: QueryWord, product: ProductWords) -> float:
    """Return how much a product is what a word looks for."""
    best = 0.0
    for saying, share in (*word.sayings.items(), *word.related.items()):
        if product.is_one(saying):
            best = max(best, share)
        elif product.named.issuperset(saying):
            best = max(best, share * NAMED_HEAD)
        elif saying in word.sayings and product.all.issuperset(saying):
            best = max(best, share * DESCRIBED_HEAD)
    return best
