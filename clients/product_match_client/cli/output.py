"""What a person or a program reads: tables at a terminal, JSON in a pipe. The one module that writes to either."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

import rich.console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

WIDTH_OF_A_PIPE: Final = 200


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
    """Standard output and standard error of one command.

    Attributes:
        progress: Where progress goes: standard error.
    """

    def __init__(self, stdout: IO[str], stderr: IO[str]) -> None:
        self._stdout, self._stderr = stdout, stderr
        self._tables = rich.console.Console(file=stdout, width=None if self.for_person else WIDTH_OF_A_PIPE)
        self.progress = rich.console.Console(file=stderr, highlight=False, markup=False, emoji=False)

    @property
    def for_person(self) -> bool:
        """True if standard output is a terminal."""
        return self._stdout.isatty()

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
        table = Table.grid(padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(justify="right" if column.right else "left", no_wrap=not column.elastic)
        table.add_row(*(_cell(column.title, style="bold") for column in columns))
        table.add_row(*(Rule(characters="-", style="dim") for _ in columns))
        for row in rows:
            table.add_row(*(_cell(cell_text(value)) for value in row))
        with self._tables.capture() as captured:
            self._tables.print(table, crop=False)
        for line in captured.get().splitlines():
            self.line(line.rstrip())

    def note(self, text: str) -> None:
        """Write a line beside the result, to standard error."""
        self._stderr.write(text + "\n")
        self._stderr.flush()

    def flush(self) -> None:
        """Hand over what was written."""
        self._stdout.flush()


def _cell(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def cell_text(value: object) -> str:
    """Return a value as one line of plain text; control characters become spaces."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}"
    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value, ensure_ascii=False)
    return "".join(" " if unicodedata.category(character) == "Cc" else character for character in str(value))


def price_text(product: Mapping[str, Any]) -> str:
    """Return a product's price with two decimals, or nothing."""
    price = product.get("price")
    return f"{price:,.2f}" if isinstance(price, int | float) else ""
