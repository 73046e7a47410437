"""Makes the file of word relations from WordNet: `python -m benchmarks.word_relations /usr/share/wordnet`.

The folder is that of Debian's package wordnet-base. Of WordNet's nouns those of things and of food are kept
(lexicographer files 6 and 13): what a shop may carry. Printed at the end is how much that is.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.words.relations import RELATIONS_FILE

THINGS: Final = 6
FOOD: Final = 13
BROADER: Final = "@"
USUAL: Final = 3
"""Senses of a word in which it may stand for another: a tent may be called "top", which nobody understands as one."""

OUT: Final = Path(__file__).parents[1] / "product_match" / "words" / RELATIONS_FILE


@dataclass(frozen=True)
class Synset:
    """One sense: the words that have it, and the offsets of the wider senses."""

    words: tuple[str, ...]
    broader: tuple[str, ...]


def synsets(folder: Path) -> Iterator[tuple[str, Synset]]:
    """Yield the senses of things and food, by their offset; the format is that of wndb(5WN)."""
    for line in _lines(folder / "data.noun"):
        fields = line.split(" | ")[0].split()
        if int(fields[1]) not in (THINGS, FOOD):
            continue
        count = int(fields[3], 16)
        words = [fields[4 + 2 * place].replace("_", " ").lower() for place in range(count)]
        pointers = fields[5 + 2 * count :]
        broader = tuple(pointers[place + 1] for place in range(0, len(pointers) - 3, 4) if pointers[place] == BROADER)
        yield fields[0], Synset(words=tuple(words), broader=broader)


def usual_senses(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the offsets of the first senses of each word: what it is understood as."""
    usual = {}
    for line in _lines(folder / "index.noun"):
        fields = line.split()
        usual[fields[0].replace("_", " ").lower()] = tuple(fields[-int(fields[2]) :][:USUAL])
    return usual


def ordered_senses(folder: Path, kept: dict[str, int]) -> dict[str, list[int]]:
    """Return the senses of each word that has several, the most usual first."""
    orders = {}
    for line in _lines(folder / "index.noun"):
        fields = line.split()
        senses = [kept[offset] for offset in fields[-int(fields[2]) :] if offset in kept]
        if len(senses) > 1:
            orders[fields[0].replace("_", " ").lower()] = senses
    return orders


def main(folder: Path) -> None:
    """Write the file."""
    found = dict(synsets(folder))
    numbers = {offset: number for number, offset in enumerate(found)}
    usual = usual_senses(folder)
    senses = []
    for offset, synset in found.items():
        understood = [word for word in synset.words if offset in usual.get(word, ())]
        others = [word for word in synset.words if word not in understood]
        senses.append([understood, others, [numbers[wider] for wider in synset.broader if wider in numbers]])
    orders = ordered_senses(folder, numbers)
    text = json.dumps({"senses": senses, "order": orders}, ensure_ascii=False, separators=(",", ":"))
    OUT.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    report = {"senses": len(senses), "words_of_several": len(orders), "bytes": OUT.stat().st_size}
    sys.stdout.write(json.dumps(report) + "\n")


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="ascii") as lines:
        # The licence stands first, its lines set in by a blank.
        yield from (line for line in lines if not line.startswith(" "))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
