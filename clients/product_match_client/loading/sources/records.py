"""One product as a source gives it, and what a source is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Record:
    """One product of a source, as read.

    Attributes:
        source: The source, as its user names it.
        line: Line or row, from 1.
        directory: Where relative paths of photos start.
        fields: Its fields; None where it could not be read.
        reason: Why it could not be read.
        raw: What came, for the rejects file; the fields unless given.
        mapping: How its fields were named when it was rejected: the source's names of product fields.
        image_separator: What stood between several photos in one text then.
        decimal_mark: What stood before decimals then, where that was said.
    """

    source: str
    line: int
    directory: Path
    fields: Mapping[str, Any] | None = None
    reason: str = ""
    raw: object = None
    mapping: Mapping[str, Sequence[str]] = field(default_factory=dict)
    image_separator: str = ""
    decimal_mark: str = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A stream of records.

    Attributes:
        name: As its user names it.
        records: Starts reading; memory does not grow with the source.
        count: How many records there are, or None where counting would mean to read it all.
        left_out: Says what of it is not taken, in a sentence; empty where all is.
        read_as: The encoding that it was taken to be in, where that is a guess.
    """

    name: str
    records: Callable[[], Iterator[Record]]
    count: Callable[[], int | None] = lambda: None
    left_out: Callable[[], str] = lambda: ""
    read_as: str = ""
