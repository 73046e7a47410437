"""How words stand to each other: what is another word for the same thing, what is narrower, what is wider.

A shop has jumpers, and a customer types "sweater", "eggplant", "footwear" or "windbreaker". No spelling finds these,
and vectors of words find them by chance. WordNet knows that a sweater is a jumper, that a clog is footwear, and that
a windbreaker is a jacket; of its nouns, those of things and of food are in `RELATIONS_FILE`
(`benchmarks.word_relations` makes it). What it lacks is shops' own language, British and American: the groups of
`GROUPS_FILE` are written by hand.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final

from product_match.words.analysis import Analyser

RELATIONS_FILE: Final = "english_relations.json.gz"
GROUPS_FILE: Final = "english_groups.txt"
RELATED_LANGUAGE: Final = "english"

LONGEST_PHRASE: Final = 3
"""Words that are looked up together: "track suit bottoms"."""

SAME_SHARES: Final = (0.85, 0.7, 0.5)
"""What another word for the same is worth beside the word itself, by sense, the most usual first."""

GROUPED_SHARE: Final = 0.85
NARROWER_SHARE: Final = 0.7
BROADER_SHARE: Final = 0.3

NARROWER_SENSES: Final = 2
DEEPEST: Final = 4
"""Steps down from a word: footwear, shoe, sneaker, plimsoll."""

MOST_NARROWER: Final = 500
"""Senses below a word from which it says next to nothing of a thing, as "food" and "container" do."""

WIDEST: Final = 150
"""The same of the word that is wider than what was typed, which is named for want of anything nearer."""

NO_GOODS: Final = frozenset({"fabric", "fastener", "decoration", "line", "strip", "area", "way", "structure"})
"""What things are made of or have: "lace", "button" and "stripe" are asked of a product, not for."""

_PLURALS: Final = (
    *(("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch")),
    *(("shes", "sh"), ("men", "man"), ("ies", "y")),
)
"""WordNet's own rules for nouns (morphy(7WN))."""

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Related:
    """One other way to say a word.

    Attributes:
        phrase: The terms, all of which a product must have.
        share: What having them is worth beside having the word itself, 0 to 1.
    """

    phrase: Phrase
    share: float


@dataclass(frozen=True, slots=True)
class _Sense:
    """What one sense is understood by, and the numbers of the wider ones."""

    names: tuple[str, ...]
    broader: tuple[int, ...]


class Relations:
    """The relations of one language's words; none for a language without files."""

    def __init__(self, analyser: Analyser) -> None:
        """Read the files; what is found is given in the terms of `analyser`."""
        self._analyser = analyser
        self._senses: list[_Sense] = []
        self._narrower: defaultdict[int, list[int]] = defaultdict(list)
        self._of: dict[str, list[int]] = {}
        self._groups: defaultdict[str, list[str]] = defaultdict(list)
        if analyser.language == RELATED_LANGUAGE:
            self._read_senses()
            self._read_groups()
        self.related = lru_cache(maxsize=4096)(self._related)
        self.names_goods = lru_cache(maxsize=4096)(self._names_goods)

    def _related(self, words: Phrase) -> tuple[Related, ...]:
        """Return other ways to say what `words`, surfaces in a row, say: each once, the nearest first."""
        found: dict[Phrase, float] = {}
        own = self._terms(" ".join(words))
        for name in _singulars(words):
            for other, share in self._named(name):
                phrase = self._terms(other)
                if phrase and phrase != own and share > found.get(phrase, 0.0):
                    found[phrase] = share
        return tuple(Related(other, share) for other, share in sorted(found.items(), key=lambda item: -item[1]))

    def _names_goods(self, word: str) -> bool:
        """Say whether a surface is what a thing to buy is called: "handbag", and not "suede" or "waterproof"."""
        senses = [sense for name in _singulars((word,)) for sense in self._usual(name)]
        return any(not NO_GOODS.intersection(self._above(sense)) for sense in senses[:1])

    def _usual(self, name: str) -> list[int]:
        return [sense for sense in self._of.get(name, ()) if name in self._senses[sense].names]

    def _above(self, sense: int) -> set[str]:
        """Return what a sense and all wider ones are called."""
        found, waiting = set[int](), [sense]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting += self._senses[number].broader
        return {name for number in found for name in self._senses[number].names}

    def _named(self, name: str) -> Iterator[tuple[str, float]]:
        grouped = self._groups.get(name, [])
        yield from ((other, GROUPED_SHARE) for other in grouped)
        senses = self._of.get(name, [])
        for sense, share in zip(senses, SAME_SHARES, strict=False):
            yield from ((other, share) for other in self._senses[sense].names)
        for sense in [*senses[:NARROWER_SENSES], *(self._of[other][0] for other in grouped if other in self._of)]:
            narrower = self._below(sense)
            for below in narrower if len(narrower) <= MOST_NARROWER else ():
                # A toast is a drink, and says "bread" all the same.
                usual = (other for other in self._senses[below].names if self._of[other][0] == below)
                yield from ((other, NARROWER_SHARE) for other in usual)
        for wider in self._senses[senses[0]].broader if senses else ():
            if len(self._below(wider)) <= WIDEST:
                yield from ((other, BROADER_SHARE) for other in self._senses[wider].names)

    def _below(self, sense: int) -> list[int]:
        """Return the senses below one, without itself."""
        found: dict[int, None] = {}
        level: Iterable[int] = [sense]
        for _ in range(DEEPEST):
            level = [below for above in level for below in self._narrower[above] if below not in found]
            found.update(dict.fromkeys(level))
        return list(found)

    def _terms(self, text: str) -> Phrase:
        return tuple(word.terms[0] for word in self._analyser.words(text))

    def _plain(self, text: str) -> str:
        """Return a name as surfaces of words are: "t-shirt" as "tshirt"."""
        text = text.strip()
        return text if text.isalpha() else " ".join(word.surface for word in self._analyser.words(text))

    def _read_senses(self) -> None:
        data = json.loads(gzip.decompress(_resource(RELATIONS_FILE)))
        for number, (understood, others, broader) in enumerate(data["senses"]):
            names = tuple(self._plain(word) for word in understood)
            self._senses.append(_Sense(names, tuple(broader)))
            for wider in broader:
                self._narrower[wider].append(number)
            for name in (*names, *(self._plain(word) for word in others)):
                self._of.setdefault(name, []).append(number)
        for word, order in data["order"].items():
            name = self._plain(word)
            # Two spellings may be one name here: what the other one means comes after.
            self._of[name] = [*order, *(sense for sense in self._of[name] if sense not in order)]

    def _read_groups(self) -> None:
        for line in _resource(GROUPS_FILE).decode("utf-8").splitlines():
            names = [self._plain(word) for word in line.partition("#")[0].split(",") if word.strip()]
            for name in names:
                for key in _singulars(tuple(name.split())):
                    self._groups[key] += [other for other in names if other != name]


def _singulars(words: Phrase) -> list[str]:
    """Return a phrase as it was typed, and with its last word in the singular."""
    *others, last = words
    forms = [last] + [last[: -len(end)] + instead for end, instead in _PLURALS if last.endswith(end)]
    return [" ".join([*others, form]) for form in forms if form]


def _resource(name: str) -> bytes:
    return resources.files("product_match.words").joinpath(name).read_bytes()
