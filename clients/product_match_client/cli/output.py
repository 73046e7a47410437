"""What a person or a program reads: tables at a terminal, JSON in a pipe. The one module that writes to either."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

GAP: Final = "  "
NARROWEST: Final = 4


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its heading.
        right: True to align to the right, as numbers are.
        elastic: True if it may be cut to fit the terminal.
    """

    title: str
    right: bool = False
    elastic: bool = False


class Console:
    """Standard output and standard error of one command."""

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self._stdout, self._stderr = stdout, stderr

    @property
    def for_person(self) -> bool:
        """True if standard output is a terminal."""
        return self._stdout.isatty()

    @property
    def width(self) -> int:
        """Characters in a line of the terminal; wide where there is none."""
        return shutil.get_terminal_size((100, 24)).columns if self.for_person else 200

    @property
    def progress_stream(self) -> TextIO:
        """Where progress goes."""
        return self._stderr

    @property
    def progress_width(self) -> int:
        """Characters in a line of where progress goes."""
        return shutil.get_terminal_size((100, 24)).columns

    def line(self, text: str = "") -> None:
        """Write a line of the result."""
        self._stdout.write(text + "\n")

    def json(self, value: object) -> None:
        """Write the result as JSON: indented for a person, one line for a program."""
        self.line(json.dumps(value, ensure_ascii=False, indent=2 if self.for_person else None))

    def json_line(self, value: object) -> None:
        """Write one of many results as a line of JSON."""
        self.line(json.dumps(value, ensure_ascii=False))

    def ask(self, question: str, expected: str) -> bool:
        """Ask a person, and say whether the answer is the expected one."""
        self._stderr.write(question)
        self._stderr.flush()
        return sys.stdin.readline().strip() == expected

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
        """Write a table that fits the terminal's width; elastic columns are cut, no line wraps."""
        for text in table_lines(columns, rows, self.width):
            self.line(text)

    def note(self, text: str) -> None:
        """Write a line beside the result, to standard error."""
        self._stderr.write(text + "\n")
        self._stderr.flush()

    def flush(self) -> None:
        """Hand over what was written."""
        self._stdout.flush()


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[object]], width: int) -> list[str]:
    """Return the lines of a table, none of them wider than `width` if cutting the elastic columns can make it so."""
    cells = [[column.title for column in columns], *([cell_text(value) for value in row] for row in rows)]
    widths = [max(text_width(row[place]) for row in cells) for place in range(len(columns))]
    over = sum(widths) + len(GAP) * (len(columns) - 1) - width
    elastic = [place for place, column in enumerate(columns) if column.elastic]
    while over > 0 and elastic:
        widest = max(elastic, key=lambda place: widths[place])
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
        over -= 1
    rule = ["-" * size for size in widths]
    return [
        GAP.join(
            fitted(text, size, right=column.right) for text, size, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in (cells[0], rule, *cells[1:])
    ]


def cell_text(value: object) -> str:
    """Return a value as one line of plain text; control characters become spaces."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value, ensure_ascii=False)
    return "".join(" " if unicodedata.category(character) == "Cc" else character for character in str(value))


def text_width(text: str) -> int:
    """Return how many terminal columns a text takes; East Asian wide characters take two, combining ones none."""
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fitted(text: str, width: int, *, right: bool) -> str:
    """Return a text cut or padded to `width` columns."""
    if text_width(text) > width:
        while text_width(text) > width - 1:
            text = text[:-1]
        text += "…"
    padding = " " * (width - text_width(text))
    return padding + text if right else text + padding


def price_text(product: Mapping[str, Any]) -> str:
    """Return a product's price with two decimals, or nothing."""
    price = product.get("price")
    return f"{price:,.2f}" if isinstance(price, int | float) else ""
