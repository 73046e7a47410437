"""From typed words to what is looked up: terms with weights, repairs, and what may be an identifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from product_match.contract.vectors import SparseVector
from product_match.words.analysis import Word
from product_match.words.encoding import WordsEncoder
from product_match.words.fields import (
    IDENTIFIER_MARK,
    LONGEST_VALUE,
    VALUE_MARK,
    head_terms,
    typed_identifiers,
    value_of,
)
from product_match.words.lookup import WordLookup
from product_match.words.queries import FULL_WEIGHT, QueryWord, WordQuery
from product_match.words.relations import Relations
from product_match.words.spelling import Speller
from product_match.words.stop_words import stop_words
from product_match.words.vocabulary import Vocabulary

STOP_WEIGHT: Final = 0.15
"""Weight of a word such as "with" among others; where nothing else was typed ("The Who"), it counts whole."""

SOLD_BONUS: Final = 0.5
"""What being the thing that was asked for adds to having its word."""

VALUE_BONUS: Final = 0.3
"""What having words as one whole value adds to having each of them."""


class QueryReader:
    """Reads typed words against a catalogue's vocabulary."""

    def __init__(self, encoder: WordsEncoder, vocabulary: Vocabulary, speller: Speller, relations: Relations) -> None:
        """Make vectors by `encoder`, of the words of `vocabulary`."""
        self._encoder = encoder
        self._relations = relations
        self._lookup = WordLookup(encoder.analyser, vocabulary, speller, relations)
        self._stop_words = stop_words(encoder.analyser.language)

    def read(self, text: str) -> WordQuery:
        """Return what `text` looks for."""
        words = self._encoder.analyser.words(text)
        heads = set(head_terms(self._encoder.analyser, text))
        stopped = [word.surface in self._stop_words for word in words]
        weights: dict[str, float] = {}
        repaired: dict[str, str] = {}
        read: list[QueryWord] = []
        carried: list[bool] = []
        place = 0
        while place < len(words):
            names_goods = words[place].terms[0] in heads and self._relations.names_goods(words[place].surface)
            looked = self._lookup.at(words, place, names_goods=names_goods)
            last = place + looked.count - 1
            importance = STOP_WEIGHT if stopped[last] and not all(stopped) else 1.0
            is_head = words[last].terms[0] in heads and importance == 1.0
            read.append(
                QueryWord(
                    weight=importance * looked.rarity,
                    sayings=looked.sayings,
                    related=looked.related,
                    is_head=is_head,
                    is_stop_word=importance < 1.0,
                    names_goods=is_head and self._relations.names_goods(words[last].surface),
                    is_sold=is_head and self._lookup.is_sold(looked),
                )
            )
            if looked.repair is not None:
                repaired[words[place].surface] = looked.repair
            for term, part in looked.weights.items():
                weights[term] = max(weights.get(term, 0.0), importance * part)
            if is_head:
                weights.update(self._lookup.sold(looked, SOLD_BONUS))
            carried += [bool(looked.sayings) and looked.repair is None] * looked.count
            place += looked.count
        weights.update(_values(words, carried))
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

    def _identifiers(self, text: str, words: Sequence[Word]) -> SparseVector | None:
        typed = typed_identifiers(text)
        if len(words) > 1 and not any(map(str.isdigit, text)):
            return None
        return self._encoder.query_vector({IDENTIFIER_MARK + form: 1.0 for form in typed}) if typed else None


def _values(words: Sequence[Word], carried: Sequence[bool]) -> dict[str, float]:
    """Return the weights of all words in a row, carried all of them, that may be a value together."""
    found = {}
    for start in range(len(words)):
        for end in range(start + 1, min(start + LONGEST_VALUE, len(words)) + 1):
            if not carried[end - 1]:
                break
            found[VALUE_MARK + value_of(words[start:end])] = VALUE_BONUS
    return found
