"""Sources in CSV, as shops' programs write it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from product_match.contract.errors import InvalidRequestError
from product_match.contract.products import FILTER_FIELDS, TEXT_FIELDS
from product_match_client.loading.sources import text_files
from product_match_client.loading.sources.records import Record
from product_match_client.photos import IMAGE, QUERY_TEXT

_SEPARATOR_LINE: Final = re.compile(r"sep=(?P<separator>[,;\t|])\r?\n?", re.IGNORECASE)
"""What Excel writes above the names."""

_PRODUCT_NAMES: Final = frozenset({"id", IMAGE, QUERY_TEXT, *TEXT_FIELDS, *(field.name for field in FILTER_FIELDS)})

_BOOLEANS: Final = {"true": True, "false": False}


def csv_rows(file: BinaryIO, source: str, directory: Path) -> Iterator[Record]:
    """Read CSV with a line of names; the separator is the one that the first line has most of.

    Raises:
        InvalidRequestError: Two columns have one name.
    """
    csv.field_size_limit(text_files.MAX_LINE_BYTES)
    with text_files.as_text(file, newline="") as text:
        head, before = text.readline(), 1
        declared = _SEPARATOR_LINE.fullmatch(head)
        if declared:
            head, before = text.readline(), 2
        separator = declared["separator"] if declared else max(",;\t|", key=head.count)
        names = column_names(next(csv.reader([head], delimiter=separator), []), source)
        reader = csv.reader(text, delimiter=separator, strict=True)
        while True:
            line = reader.line_num + before + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reason = _csv_reason(error)
                yield Record(source=source, line=line, directory=directory, reason=reason, raw="")
                continue
            if cells:
                yield _csv_row(names, cells, Record(source=source, line=line, directory=directory))


def column_names(cells: list[str], source: str) -> list[str]:
    """Return the columns' names without spaces around them, and in small letters where a product has such a field."""
    names = [name.strip() for name in cells]
    names = [name.lower() if name.lower() in _PRODUCT_NAMES and name.lower() not in names else name for name in names]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InvalidRequestError(
            f"source {source}: two columns are named {', '.join(f'`{name}`' for name in twice)}; rename one of them"
        )
    return names


def _value(name: str, cell: str) -> str | bool:
    """Return a cell as a product has it: `true` and `false` are that, unless the field is one of words."""
    return cell if name in _PRODUCT_NAMES else _BOOLEANS.get(cell.lower(), cell)


def _csv_reason(error: csv.Error) -> str:
    if "unexpected end of data" in str(error):
        return "a quote that opens in this row is never closed, which takes all rows behind it; close it"
    return f"not valid CSV ({error}); mend the line"


def _csv_row(names: list[str], cells: list[str], place: Record) -> Record:
    fields: dict[str, Any] = {
        name: _value(name, cell.strip()) for name, cell in zip(names, cells, strict=False) if name and cell.strip()
    }
    reason = ""
    if len(cells) > len(names):
        reason = f"{len(cells)} cells where the first line names {len(names)}; quote cells that hold the separator"
    elif any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        reason = "not in the encoding of the file; save it as UTF-8, or give --encoding, such as windows-1252"
    return Record(
        source=place.source,
        line=place.line,
        directory=place.directory,
        fields=None if reason else fields,
        reason=reason,
        raw=[cell.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for cell in cells]
        if reason
        else fields,
    )
