"""Which fields of a product count as words, and how much; and what identifies it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from product_match.words.analysis import Analyser, Word

WORD_FIELDS: Final[Mapping[str, int]] = {
    "name": 3,
    "brand": 2,
    "category": 2,
    "color": 2,
    "attributes": 1,
    "description": 1,
}
"""How often the words of a field count."""

HEAD_WEIGHT: Final = 2
"""How often the word that says what a thing is counts beside that: "tee" in "Navy tee with diggers"."""

IDENTIFIER_FIELDS: Final = ("id", "sku", "gtin", "ean", "upc", "isbn", "mpn")
"""Fields that name one product: whoever types one of them means that product."""

IDENTIFIER_MARK: Final = "="
"""Before a term that is an identifier, so that it is never taken for a word."""

SOLD_MARK: Final = "^"
"""Before the term of what a product is: a desk is one, a desk chair is none, and a mattress only mentions one."""

VALUE_MARK: Final = "~"
"""Before the terms of a whole value, as of the colour "light blue": "blue" is a part of it, and another colour."""

VALUE_FIELDS: Final = ("brand", "category", "color")
LONGEST_VALUE: Final = 3
"""Words of a value that is looked for as a whole."""

LEAST_MARKED_CHARACTERS: Final = 5
"""Characters from which one word among others is taken for an identifier; "501 jeans" is no product 501."""

_HEAD_ENDS: Final = re.compile(
    r"[,;(|/:]| [-–—] |\b(?:with|in|for|of|without|from|by|on|to|mit|für|aus|im|ohne|von"
    r"|avec|pour|en|de|sans|con|para|sin|per|da)\b"
    # "juice no sugar", and not "no sugar juice"; "hoodie under 50", and not "Under Armour hoodie".
    r"|(?<=\w)\s+no\b"
    r"|\b(?:under|below|over|above|unter|über)\s+[€$£]?\s?\d",
    re.IGNORECASE,
)
_HEAD_FIRST: Final = ("catalan", "french", "italian", "portuguese", "romanian", "spanish")
"""Languages in which the word that says what a thing is comes first."""

_VALUE_ENDS: Final = re.compile(r"[,;|/()]| [-–—] ")
_SEPARATORS: Final = re.compile(r"[\W_]+")


def field_texts(product: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the text of each field that counts, and how often its words do."""
    for field, weight in WORD_FIELDS.items():
        text = " ".join(_texts(product.get(field)))
        if text:
            yield text, weight


def product_terms(analyser: Analyser, product: Mapping[str, Any], query_text: str = "") -> list[str]:
    """Return the terms of a product, each as often as it counts, and the marked terms of its identifiers.

    Args:
        analyser: Makes terms.
        product: Its fields.
        query_text: Words that came for the text encoder; those that stand in no field count once.
    """
    terms: list[str] = []
    for text, weight in field_texts(product):
        terms += analyser.terms(text) * weight
    held = set(terms)
    terms += [term for term in analyser.terms(query_text) if term not in held]
    name = product.get("name")
    if isinstance(name, str):
        terms += head_terms(analyser, name) * HEAD_WEIGHT
    terms += [SOLD_MARK + term for term in dict.fromkeys(sold_terms(analyser, product))]
    terms += [VALUE_MARK + value for value in product_values(analyser, product)]
    return terms + [IDENTIFIER_MARK + identifier for identifier in product_identifiers(product)]


def head_terms(analyser: Analyser, name: str) -> list[str]:
    """Return the terms of the word of a name, or of a query, that says what the thing is."""
    words = analyser.words(_HEAD_ENDS.split(name.strip(), maxsplit=1)[0])
    if not words:
        return []
    return list(words[0 if analyser.language in _HEAD_FIRST else -1].terms)


def sold_terms(analyser: Analyser, product: Mapping[str, Any]) -> list[str]:
    """Return the terms of what a product is: of the words of its name and its category that say what the thing is."""
    texts = (product.get(field) for field in ("name", "category"))
    return [term for text in texts if isinstance(text, str) for term in head_terms(analyser, text)]


def product_values(analyser: Analyser, product: Mapping[str, Any]) -> list[str]:
    """Return the whole values of a product, each as one term: brand, category, colour, and the parts of its name."""
    texts = [text for field in VALUE_FIELDS for text in _texts(product.get(field))]
    name = product.get("name")
    parted = [*texts, name] if isinstance(name, str) else texts
    found = (value_of(analyser.words(part)) for text in parted for part in _VALUE_ENDS.split(text))
    return list(dict.fromkeys(value for value in found if value))


def value_of(words: Sequence[Word]) -> str:
    """Return the term of words that are a value together; empty where they are too many, or none."""
    return "".join(word.terms[0] for word in words) if len(words) <= LONGEST_VALUE else ""


def product_identifiers(product: Mapping[str, Any]) -> list[str]:
    """Return what names the product, in the form that it is compared in."""
    found = (identifier_form(str(product[field])) for field in IDENTIFIER_FIELDS if product.get(field))
    return list(dict.fromkeys(form for form in found if form))


def identifier_form(text: str) -> str:
    """Return an identifier without what is typed in many ways: separators, case, and the zeros before a number."""
    form = _SEPARATORS.sub("", text).casefold()
    return form.lstrip("0") or form if form.isdigit() else form


def typed_identifiers(text: str) -> list[str]:
    """Return what in a query may be an identifier: the whole of it, and long words with a digit."""
    words = [identifier_form(word) for word in text.split()]
    marked = [word for word in words if len(word) >= LEAST_MARKED_CHARACTERS and any(map(str.isdigit, word))]
    whole = identifier_form(text)
    return list(dict.fromkeys(([whole] if whole else []) + marked))


def _texts(value: object) -> Iterator[str]:
    """Yield the texts of a field: of a list or an object, those of all its parts; of "waterproof: true", the name."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        yield f"{value:g}" if isinstance(value, float) else str(value)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if part is True:
                yield str(name).replace("_", " ")
            else:
                yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
