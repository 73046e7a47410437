"""Repairs of one wrong letter, by the words that the catalogue has.

A word that exists is never repaired: who asks a clothes shop for a sofa did not mean "soft". What exists is told by
a dictionary of the language (pyspellchecker's lists of words in use, with how often each was met; a word that was
hardly ever met may be a common slip, and is one where the repair was met far more often). Names and made-up words
are in none, and are repaired where a product has a word one letter away.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from product_match.words.analysis import folded
from product_match.words.vocabulary import Vocabulary

LEAST_REPAIRED: Final = 5
"""Letters from which a word is repaired: one letter of a short word makes many others."""

MOST_REPAIRS: Final = 3
"""Spellings that one word may be taken for."""

HARDLY_EVER: Final = 60
"""How often a word was met in the lists, whose rarest were met 50 times, that may be no word but a common slip."""

FAR_MORE_OFTEN: Final = 4

_DICTIONARIES: Final[Mapping[str, str]] = {
    "arabic": "ar",
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "portuguese": "pt",
    "russian": "ru",
    "spanish": "es",
}


@lru_cache(maxsize=4)
def known_words(language: str) -> Mapping[str, int]:
    """Return the words of a language, in lower case and without accents, and how often each was met.

    Empty for a language without a list.
    """
    code = _DICTIONARIES.get(language)
    if code is None:
        return {}
    data = resources.files("spellchecker").joinpath("resources").joinpath(f"{code}.json.gz").read_bytes()
    words: dict[str, int] = {}
    for word, met in json.loads(gzip.decompress(data)).items():
        plain = folded(word)
        words[plain] = max(met, words.get(plain, 0))
    return words


class Speller:
    """Finds what of the catalogue a word may have been meant for."""

    def __init__(self, language: str) -> None:
        """Know the words of `language`."""
        self._known = known_words(language)

    def exists(self, word: str) -> bool:
        """Say whether a word is one of the language, and not only a slip that many make."""
        return self._known.get(word, 0) > HARDLY_EVER

    def repairs(self, word: str, vocabulary: Vocabulary) -> list[str]:
        """Return the catalogue's words that differ from `word` by one letter, the most probable first.

        One letter is too many, missing, another, or swapped with the next (optimal string alignment).

        Args:
            word: In lower case, not one of the catalogue's.
            vocabulary: What the catalogue has.
        """
        if len(word) < LEAST_REPAIRED or not word.isalpha() or self.exists(word):
            return []
        found: list[tuple[bool, int, str]] = []
        for letters in (len(word) - 1, len(word), len(word) + 1):
            held = vocabulary.spellings(letters)
            alike = process.extract(word, held.keys(), scorer=OSA.distance, score_cutoff=1, limit=MOST_REPAIRS * 4)
            found += [
                (spelt[0] != word[0], -held[spelt], spelt) for spelt, _, _ in alike if self._may_be(word, spelt)
            ]
        return [spelt for _, _, spelt in sorted(found)[:MOST_REPAIRS]]

    def _may_be(self, word: str, spelt: str) -> bool:
        met = self._known.get(word, 0)
        return not met or self._known.get(spelt, 0) >= FAR_MORE_OFTEN * met
