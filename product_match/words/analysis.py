"""From text to terms: what exact words are compared by, the same in products and in queries.

A shop's text is not prose. What must meet, meets here: "500 ml" and "0,5 l", "t-shirt" and "tshirt", "AB-12-345" and
"ab12345", "½" and "1/2", "grün" and "gruen", "women" and "woman", "dress" and "dresses". Nothing is thrown away: a
number, a size or a stop word may be all that somebody types.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import Stemmer

DEFAULT_LANGUAGE: Final = "english"

LANGUAGES: Final = tuple(sorted(Stemmer.algorithms()))
"""The languages whose words can be stemmed."""

CACHED_WORDS: Final = 65_536

_WORD: Final = re.compile(r"[^\W_]+(?:[-'’.,/&+_][^\W_]+)*")
_POSSESSIVE: Final = re.compile(r"['’]s?$|['’]s(?=\W|$)")
_JOINERS: Final = re.compile(r"[-'’.,/&+_]")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)?")
_FRACTION: Final = re.compile(r"(\d+)/(\d+)")
_AMOUNT: Final = re.compile(r"(\d+(?:[.,/]\d+)?)([a-z]{1,4})")
_THOUSANDS: Final = {
    separator: re.compile(rf"[1-9]\d{{0,2}}(?:[{separator}]\d{{3}})+(?=[a-z]{{0,4}}$)") for separator in ",."
}
_UMLAUTS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})

_UNITS: Final[Mapping[str, tuple[str, float]]] = {
    "ml": ("ml", 1.0),
    "cl": ("ml", 10.0),
    "dl": ("ml", 100.0),
    "l": ("ml", 1000.0),
    "ltr": ("ml", 1000.0),
    "mg": ("g", 0.001),
    "g": ("g", 1.0),
    "gr": ("g", 1.0),
    "kg": ("g", 1000.0),
    "mm": ("mm", 1.0),
    "cm": ("mm", 10.0),
}
"""Units that are written in several ways, and what each is of the one that terms are written in."""

_IRREGULAR: Final[Mapping[str, Mapping[str, str]]] = {
    "english": {
        "women": "woman",
        "womens": "woman",
        "men": "man",
        "mens": "man",
        "children": "child",
        "childrens": "child",
        "feet": "foot",
        "knives": "knife",
        "leaves": "leaf",
        "loaves": "loaf",
        "scarves": "scarf",
        "shelves": "shelf",
        "halves": "half",
        "mice": "mouse",
        "people": "person",
        "teeth": "tooth",
        "yoghurt": "yogurt",
        "yoghurts": "yogurt",
        "gray": "grey",
        "colour": "color",
        "colours": "color",
        "jewellery": "jewelry",
        "pyjamas": "pajamas",
    }
}
"""Plurals and spellings that no stemmer brings together."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text.

    Attributes:
        surface: The word as it is compared: lower case, accents folded, not stemmed.
        terms: What it is indexed and looked up by, the most telling first: the whole, and its parts.
    """

    surface: str
    terms: tuple[str, ...]


class Analyser:
    """Makes terms of text in one language; the same text always becomes the same terms."""

    def __init__(self, language: str = DEFAULT_LANGUAGE) -> None:
        """Stem by the rules of `language`, one of LANGUAGES."""
        self.language = language
        self._stemmer = Stemmer.Stemmer(language)
        self._irregular = _IRREGULAR.get(language, {})
        self._thousands = "," if language == "english" else "."
        self._stem = lru_cache(maxsize=CACHED_WORDS)(self._stem_of)
        self._word = lru_cache(maxsize=CACHED_WORDS)(self._word_of)

    def words(self, text: str) -> list[Word]:
        """Return the words of `text`, in order; an amount and its unit are one word."""
        return list(self._joined(self._raw_words(text)))

    def terms(self, text: str) -> list[str]:
        """Return the terms of all words of `text`, in order, repeated where they are."""
        return [term for word in self.words(text) for term in word.terms]

    def _raw_words(self, text: str) -> list[str]:
        plain = unicodedata.normalize("NFKC", text).replace("\u2044", "/").casefold()
        return [self._without_thousands(_POSSESSIVE.sub("", match.group())) for match in _WORD.finditer(plain)]

    def _without_thousands(self, word: str) -> str:
        """Return "1000" for "1,000", where the language writes it so."""
        if self._thousands not in word or not _THOUSANDS[self._thousands].match(word):
            return word
        return word.replace(self._thousands, "")

    def _joined(self, raw: list[str]) -> Iterator[Word]:
        """Yield words; "500 ml" is one, and so is "t shirt", whose "t" alone says nothing."""
        place = 0
        while place < len(raw):
            word, following = raw[place], raw[place + 1] if place + 1 < len(raw) else ""
            place += 1
            if following in _UNITS and (_NUMBER.fullmatch(word) or _FRACTION.fullmatch(word)):
                yield self._word(word + following)
                place += 1
            elif len(word) == 1 and word.isalpha() and following.isalpha() and len(following) > 2:
                yield self._word(f"{word}-{following}")
                place += 1
            else:
                yield self._word(word)

    def _word_of(self, word: str) -> Word:
        amount = _AMOUNT.fullmatch(word)
        if amount is not None and amount.group(2) in _UNITS:
            unit, factor = _UNITS[amount.group(2)]
            term = f"{_written(_value(amount.group(1)) * factor)}{unit}"
            return Word(surface=term, terms=(term,))
        if _NUMBER.fullmatch(word) or _FRACTION.fullmatch(word):
            term = _written(_value(word)) if _NUMBER.fullmatch(word) else word
            return Word(surface=term, terms=(term,))
        parts = [part for part in _JOINERS.split(word) if part]
        if len(parts) == 1:
            return Word(surface=folded(word), terms=self._forms(word))
        whole = self._forms("".join(parts))
        found = dict.fromkeys([*whole, *(term for part in parts for term in self._forms(part))])
        return Word(surface=folded("".join(parts)), terms=tuple(found))

    def _forms(self, word: str) -> tuple[str, ...]:
        """Return the stem of a word; more than one where accents may be left out, or umlauts written with an e."""
        stems = [self._stem(word)] if word.isascii() else [self._stem(folded(word)), self._stem(word)]
        if any(letter in word for letter in "äöü"):
            stems.append(self._stem(word.translate(_UMLAUTS)))
        return tuple(dict.fromkeys(stems))

    def _stem_of(self, word: str) -> str:
        if not word.isalpha():
            return folded(word)
        return folded(self._stemmer.stemWord(self._irregular.get(word, word)))


def folded(word: str) -> str:
    """Return a word without accents."""
    if word.isascii():
        return word
    decomposed = unicodedata.normalize("NFKD", word)
    return unicodedata.normalize("NFC", "".join(letter for letter in decomposed if not unicodedata.combining(letter)))


def _value(text: str) -> float:
    fraction = _FRACTION.fullmatch(text)
    if fraction is not None:
        below = int(fraction.group(2))
        return int(fraction.group(1)) / below if below else 0.0
    return float(text.replace(",", "."))


def _written(value: float) -> str:
    """Return a number in its shortest form: 19.9 for 19.90, 500 for 500.0."""
    return f"{value:.10g}" if value < 1e10 else f"{value:.0f}"
