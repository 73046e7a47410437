"""How much of a query's words a product has, and where: in what it is called, or only in what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from product_match.words.analysis import Analyser
from product_match.words.fields import field_texts, head_terms, product_identifiers, typed_identifiers
from product_match.words.queries import WordQuery

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


@dataclass(frozen=True, slots=True)
class WordEvidence:
    """What a product has of a query's words, each 0 to 1.

    Attributes:
        held: Share of the words, by weight, that the product has anywhere.
        named: Share that it has in its name, brand, category or colour.
        head: Whether it is what is looked for, or only mentions it.
        missing: Share of the words that it has nowhere, stop words aside, each counting the same.
        identified: 1 where the query is one of its identifiers, or has one.
    """

    held: float
    named: float
    head: float
    missing: float
    identified: float


def product_words(analyser: Analyser, product: Mapping[str, Any], query_text: str = "") -> ProductWords:
    """Return the terms of a product."""
    named: set[str] = set()
    described: set[str] = set(analyser.terms(query_text))
    for text, weight in field_texts(product):
        (named if weight >= NAMING_WEIGHT else described).update(analyser.terms(text))
    heads = set()
    for field in ("name", "category"):
        if isinstance(product.get(field), str):
            heads.update(head_terms(analyser, product[field]))
    return ProductWords(
        heads=frozenset(heads),
        named=frozenset(named),
        all=frozenset(named | described),
        identifiers=frozenset(product_identifiers(product)),
    )


def word_evidence(query: WordQuery, text: str, product: ProductWords) -> WordEvidence:
    """Return what `product` has of the words of `text`, which were read as `query`."""
    weight = held = named = head = looked_for = telling = missing = 0.0
    for word in query.words:
        weight += word.weight
        held += word.weight * word.share * bool(word.terms & product.all)
        named += word.weight * word.share * bool(word.terms & product.named)
        if not word.is_stop_word:
            telling += 1.0
            missing += not word.terms & product.all
        if word.is_head:
            looked_for += 1.0
            head += word.share * _head(word.terms, product)
    return WordEvidence(
        held=held / weight if weight else 0.0,
        named=named / weight if weight else 0.0,
        head=head / looked_for if looked_for else 0.0,
        missing=missing / telling if telling else 0.0,
        identified=float(any(form in product.identifiers for form in typed_identifiers(text))),
    )


def _head(terms: frozenset[str], product: ProductWords) -> float:
    if terms & product.heads:
        return 1.0
    if terms & product.named:
        return NAMED_HEAD
    return DESCRIBED_HEAD if terms & product.all else 0.0
