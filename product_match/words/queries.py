"""From typed words to what is looked up: terms with weights, repairs, and what may be an identifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from product_match.contract.vectors import SparseVector
from product_match.words.analysis import Word
from product_match.words.encoding import WordsEncoder
from product_match.words.fields import IDENTIFIER_MARK, head_terms, typed_identifiers
from product_match.words.spelling import Speller
from product_match.words.stop_words import stop_words
from product_match.words.vocabulary import Vocabulary

STOP_WEIGHT: Final = 0.15
"""Weight of a word such as "with" among others; where nothing else was typed ("The Who"), it counts whole."""

PART_WEIGHT: Final = 0.5
"""Weight of the parts of a word whose whole the catalogue has."""

REPAIR_WEIGHTS: Final = (0.8, 0.3, 0.3)
"""Weight of what a misspelt word may have been meant for, the most probable first."""

FULL_WEIGHT: Final = 1.8
"""BM25's weight of a term in a product that is about it: what `held` counts as all of a word."""


@dataclass(frozen=True, slots=True)
class QueryWord:
    """One word of a query.

    Attributes:
        weight: How much it says: its rarity in the catalogue, less for a stop word.
        terms: What it is looked up by; empty where no product has it.
        share: 1 for a word as it was typed, less for a repair.
        is_head: Whether it says what is looked for: "trousers" in "kids trousers with pandas".
        is_stop_word: Whether it says next to nothing, as "with" does.
    """

    weight: float
    terms: frozenset[str]
    share: float
    is_head: bool
    is_stop_word: bool


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


class QueryReader:
    """Reads typed words against a catalogue's vocabulary."""

    def __init__(self, encoder: WordsEncoder, vocabulary: Vocabulary, speller: Speller) -> None:
        """Make vectors by `encoder`, of the words of `vocabulary`."""
        self._encoder = encoder
        self._vocabulary = vocabulary
        self._speller = speller
        self._stop_words = stop_words(encoder.analyser.language)

    def read(self, text: str) -> WordQuery:
        """Return what `text` looks for."""
        words = self._encoder.analyser.words(text)
        weights: dict[str, float] = {}
        repaired: dict[str, str] = {}
        head = set(head_terms(self._encoder.analyser, text))
        read: list[QueryWord] = []
        stopped = [word.surface in self._stop_words for word in words]
        for place, word in enumerate(words):
            weight = STOP_WEIGHT if stopped[place] and not all(stopped) else 1.0
            terms = self._looked_up(words, place, repaired)
            # A word that no product has is as rare as can be.
            rarity = self._vocabulary.rarity(next(iter(terms), word.terms[0]))
            share = max(terms.values(), default=0.0)
            read.append(
                QueryWord(
                    weight=weight * rarity,
                    terms=frozenset(terms),
                    share=share,
                    is_head=word.terms[0] in head and weight == 1.0,
                    is_stop_word=weight < 1.0,
                )
            )
            for term, part in terms.items():
                weights[term] = max(weights.get(term, 0.0), weight * part)
        attainable = sum(word.weight for word in read)
        known = sum(word.weight * word.share for word in read)
        return WordQuery(
            words=tuple(read),
            vector=self._encoder.query_vector(weights),
            identifiers=self._identifiers(text, words),
            attainable=attainable * FULL_WEIGHT,
            known=known / attainable if attainable else 0.0,
            repaired=repaired,
        )

    def _looked_up(self, words: Sequence[Word], place: int, repaired: dict[str, str]) -> dict[str, float]:
        """Return the terms that a word is looked up by and their weights, the most telling first."""
        word = words[place]
        terms = self._carried(word)
        joined = self._joined(words, place)
        if terms:
            return {**terms, **dict.fromkeys(joined, PART_WEIGHT)}
        if joined:
            return dict.fromkeys(joined, 1.0)
        parts = self._split(word.surface)
        if parts:
            return dict.fromkeys(parts, 1.0)
        meant = self._speller.repairs(word.surface, self._vocabulary)
        if meant:
            repaired[word.surface] = meant[0]
        found: dict[str, float] = {}
        for spelt, weight in zip(meant, REPAIR_WEIGHTS, strict=False):
            for term in self._encoder.analyser.terms(spelt):
                found.setdefault(term, weight)
        return found

    def _carried(self, word: Word) -> dict[str, float]:
        carried = [term for term in word.terms if self._vocabulary.frequency(term)]
        whole = bool(carried) and carried[0] == word.terms[0]
        return {term: PART_WEIGHT if whole and term != word.terms[0] else 1.0 for term in carried}

    def _joined(self, words: Sequence[Word], place: int) -> list[str]:
        """Return what a word and the one beside it are as one word, where the catalogue writes them so."""
        found = []
        for first, second in ((place - 1, place), (place, place + 1)):
            if first >= 0 and second < len(words):
                joined = self._encoder.analyser.terms(words[first].surface + words[second].surface)
                found += [term for term in joined[:1] if self._vocabulary.frequency(term)]
        return found

    def _split(self, surface: str) -> list[str]:
        """Return the two words that the catalogue has in place of one, such as "denim jacket" for "denimjacket"."""
        if self._speller.exists(surface):
            return []
        for place in range(3, len(surface) - 2):
            parts = [self._encoder.analyser.terms(part) for part in (surface[:place], surface[place:])]
            if all(part and self._vocabulary.frequency(part[0]) for part in parts):
                return [part[0] for part in parts]
        return []

    def _identifiers(self, text: str, words: Sequence[Word]) -> SparseVector | None:
        typed = typed_identifiers(text)
        if len(words) > 1 and not any(map(str.isdigit, text)):
            return None
        return self._encoder.query_vector({IDENTIFIER_MARK + form: 1.0 for form in typed}) if typed else None
