"""What one word of a query is looked up by in a catalogue: itself, its parts, a repair, or other words for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from product_match.words.analysis import Analyser, Word
from product_match.words.fields import SOLD_MARK
from product_match.words.relations import LONGEST_PHRASE, Phrase, Relations
from product_match.words.spelling import Speller
from product_match.words.vocabulary import Vocabulary

PART_WEIGHT: Final = 0.5
"""Weight of the parts of a word whose whole the catalogue has."""

REPAIR_WEIGHTS: Final = (0.8, 0.3, 0.3)
"""Weight of what a misspelt word may have been meant for, the most probable first."""

MOST_RELATED: Final = 24
"""Other words that one word is looked up by: "footwear" is a hundred things, of which a shop has some."""

LAST_PART: Final = 1.2
"""What the last of several words that name a thing counts, the others counting the less."""

MENTIONED_SHARE: Final = 0.6
"""What other words are worth where products mention what was typed: it may be no other word's."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a word is looked up by, or several that name one thing.

    Attributes:
        count: Words that it takes.
        rarity: IDF of what was typed; of the nearest other word, where no product has that.
        weights: By term, for the sparse vector.
        sayings: What was typed or meant, and what each is worth.
        related: Other words for it, and what each is worth.
        repair: What it was taken for; None where it stands as it was typed.
    """

    count: int
    rarity: float
    weights: Mapping[str, float]
    sayings: Mapping[Phrase, float]
    related: Mapping[Phrase, float] = field(default_factory=dict)
    repair: str | None = None


class WordLookup:
    """Looks words up in a catalogue's vocabulary."""

    def __init__(self, analyser: Analyser, vocabulary: Vocabulary, speller: Speller, relations: Relations) -> None:
        """Know what the catalogue has, and what words there are beside."""
        self._analyser = analyser
        self._vocabulary = vocabulary
        self._speller = speller
        self._relations = relations

    def at(self, words: Sequence[Word], place: int, *, names_goods: bool) -> Looked:
        """Look up the word at a place, with those after it where they name one thing.

        Args:
            words: Of the query.
            place: Of the word.
            names_goods: Whether the word is what a thing to buy is called, and says what is looked for.
        """
        for count in range(min(LONGEST_PHRASE, len(words) - place), 1, -1):
            named = words[place : place + count]
            if not all(self._carried(word) for word in named) and (related := self._related(named)):
                return self._by_others(count, related)
        word = words[place]
        typed = self._typed(words, place)
        if typed:
            # Who asks for a sweater in a shop that has jumpers "to wear over a sweater" wants the jumpers.
            mentioned = names_goods and not self._vocabulary.is_sold(word.terms[0])
            related = self._related([word]) if mentioned else {}
            return self._by_typed(typed, {other: MENTIONED_SHARE * share for other, share in related.items()})
        if related := self._related([word]):
            return self._by_others(1, related)
        return self._by_repairs(word)

    def is_sold(self, looked: Looked) -> bool:
        """Say whether some product is what a word says."""
        return any(self._vocabulary.is_sold(saying[-1]) for saying in looked.sayings)

    def sold(self, looked: Looked, bonus: float) -> dict[str, float]:
        """Return the weights of products that are what a word says, together worth `bonus` of having the word."""
        weights: dict[str, float] = {}
        for saying, share in (*looked.related.items(), *looked.sayings.items()):
            if len(saying) == 1:  # "soya drink" is another word for soy milk, and not every drink is one
                rarity = self._vocabulary.sold_rarity(saying[0])
                weights[SOLD_MARK + saying[0]] = bonus * share * looked.rarity / rarity
        return weights

    def _typed(self, words: Sequence[Word], place: int) -> dict[str, float]:
        """Return the terms of a word as it was typed, or in the parts that the catalogue writes it in."""
        terms = self._carried(words[place])
        joined = self._joined(words, place)
        if terms:
            return {**terms, **dict.fromkeys(joined, PART_WEIGHT)}
        return dict.fromkeys(joined or self._split(words[place].surface), 1.0)

    def _by_typed(self, terms: Mapping[str, float], related: Mapping[Phrase, float]) -> Looked:
        rarity = self._vocabulary.rarity(next(iter(terms)))
        sayings: dict[Phrase, float] = {(term,): 1.0 for term in terms}
        return Looked(1, rarity, {**self._spread(related, rarity), **terms}, sayings, related)

    def _by_others(self, count: int, related: Mapping[Phrase, float]) -> Looked:
        best = max(related.values())
        nearest = [saying for saying, share in related.items() if share == best]
        rarity = min(max(map(self._vocabulary.rarity, saying)) for saying in nearest)
        return Looked(count, rarity, self._spread(related, rarity), {}, related)

    def _by_repairs(self, word: Word) -> Looked:
        meant = self._speller.repairs(word.surface, self._vocabulary)
        weights: dict[str, float] = {}
        for spelt, weight in zip(meant, REPAIR_WEIGHTS, strict=False):
            for term in self._analyser.terms(spelt):
                weights.setdefault(term, weight)
        # A word that no product has is as rare as can be.
        rarity = self._vocabulary.rarity(next(iter(weights), word.terms[0]))
        sayings: dict[Phrase, float] = {(term,): REPAIR_WEIGHTS[0] for term in weights}
        return Looked(1, rarity, weights, sayings, repair=meant[0] if meant else None)

    def _related(self, words: Sequence[Word]) -> dict[Phrase, float]:
        """Return other words that products have, the nearest first."""
        related = self._relations.related(tuple(word.surface for word in words))
        held = {one: min(map(self._vocabulary.frequency, one.phrase)) for one in related}
        carried = sorted((one for one in related if held[one]), key=lambda one: (-one.share, -held[one]))
        return {one.phrase: one.share for one in carried[:MOST_RELATED]}

    def _spread(self, related: Mapping[Phrase, float], rarity: float) -> dict[str, float]:
        """Return the weight of each term of other words, so that a rare one counts no more than what was typed."""
        weights: dict[str, float] = {}
        for saying, share in related.items():
            weight = share * min(1.0, rarity / sum(map(self._vocabulary.rarity, saying)))
            for place, term in enumerate(saying):
                # "Running shoes" are shoes first: what else runs is no trainer.
                part = 1.0 if len(saying) == 1 else LAST_PART if place == len(saying) - 1 else 2.0 - LAST_PART
                weights[term] = max(weights.get(term, 0.0), part * weight)
        return weights

    def _carried(self, word: Word) -> dict[str, float]:
        carried = [term for term in word.terms if self._vocabulary.frequency(term)]
        whole = bool(carried) and carried[0] == word.terms[0]
        return {term: PART_WEIGHT if whole and term != word.terms[0] else 1.0 for term in carried}

    def _joined(self, words: Sequence[Word], place: int) -> list[str]:
        """Return what a word and the one beside it are as one word, where the catalogue writes them so."""
        found = []
        for first, second in ((place - 1, place), (place, place + 1)):
            if first >= 0 and second < len(words):
                joined = self._analyser.terms(words[first].surface + words[second].surface)
                found += [term for term in joined[:1] if self._vocabulary.frequency(term)]
        return found

    def _split(self, surface: str) -> list[str]:
        """Return the two words that the catalogue has in place of one, such as "denim jacket" for "denimjacket"."""
        if self._speller.exists(surface):
            return []
        for place in range(3, len(surface) - 2):
            parts = [self._analyser.terms(part) for part in (surface[:place], surface[place:])]
            if all(part and self._vocabulary.frequency(part[0]) for part in parts):
                return [part[0] for part in parts]
        return []
