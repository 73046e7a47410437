"""Sources of text: JSON Lines, JSON, CSV and lists of image URLs."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

from product_match.contract import limits
from product_match.contract.products import FILTER_FIELDS, FieldType
from product_match_client.loading.sources.records import Record

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""A line with the largest photo, inline, is 27 MiB; what is longer is no line of a catalogue."""

REJECT_KEYS: Final = frozenset({"source", "line", "reason", "directory", "record"})
"""Keys of a line of a rejects file; such a line stands for the record inside."""

REJECT_OPTIONS: Final = frozenset({"map", "image_separator"})
"""Keys that it has, too, where the load was told how to read the record."""

_CHUNK: Final = 1 << 16
_NUMBERS: Final = tuple(field.name for field in FILTER_FIELDS if field.type is FieldType.NUMBER)


def json_lines(file: BinaryIO, source: str, directory: Path) -> Iterator[Record]:
    """Read JSON Lines; lines of a rejects file stand for the records inside."""
    for line, data in _lines(file):
        if data is None:
            reason = f"the line is longer than {MAX_LINE_BYTES:,} bytes; put one product on each line"
            yield Record(source=source, line=line, directory=directory, reason=reason, raw="")
            continue
        if not data.strip():
            continue
        yield _json_line(data, source, line, directory)


def _json_line(data: bytes, source: str, line: int, directory: Path) -> Record:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        text = data.decode("utf-8", "backslashreplace").rstrip("\r\n")
        reason = f"not valid JSON in UTF-8 ({error}); send one JSON object a line"
        return Record(source=source, line=line, directory=directory, reason=reason, raw=text)
    if isinstance(value, dict) and value.keys() - REJECT_OPTIONS == REJECT_KEYS:
        return _rejected(value)
    return record_of(value, source, line, directory)


def _rejected(entry: dict[str, Any]) -> Record:
    source, line, directory = str(entry["source"]), entry["line"], Path(str(entry["directory"]))
    value = entry["record"]
    if isinstance(value, str):  # it was no JSON then; it may have been corrected since
        record = _json_line(value.encode("utf-8", "surrogatepass"), source, line, directory)
    else:
        record = record_of(value, source, line, directory)
    given = entry.get("map")
    mapping = given if isinstance(given, dict) and all(isinstance(names, list) for names in given.values()) else {}
    return dataclasses.replace(record, mapping=mapping, image_separator=str(entry.get("image_separator", "")))


def record_of(value: object, source: str, line: int, directory: Path) -> Record:
    """Return the record for a decoded value, which has to be an object."""
    if isinstance(value, dict):
        return Record(source=source, line=line, directory=directory, fields=value, raw=value)
    reason = f"expected a JSON object, got {type(value).__name__}; send one object for each product"
    return Record(source=source, line=line, directory=directory, reason=reason, raw=value)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield numbered lines, None for one that is too long: it is skipped without being held."""
    line = 0
    while data := file.readline(MAX_LINE_BYTES):
        line += 1
        if line == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if len(data) == MAX_LINE_BYTES and not data.endswith(b"\n"):
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            yield line, None
        else:
            yield line, data


def count_lines(path: Path) -> int:
    """Return how many lines a file has."""
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            count += chunk.count(b"\n")
            last = chunk[-1:]
    return count + (last != b"\n")


@contextmanager
def _text(file: BinaryIO, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
    """Read a file as text; what is not UTF-8 becomes surrogates, so that one bad line does not end the file."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=newline)
    try:
        yield text
    finally:
        text.detach()


def json_array(file: BinaryIO, source: str, directory: Path) -> Iterator[Record]:
    """Read a JSON array of products, or one product, a piece at a time."""
    with _text(file) as text:
        for line, (value, reason) in enumerate(_elements(text), start=1):
            if reason:
                yield Record(source=source, line=line, directory=directory, reason=reason, raw=value)
            else:
                yield record_of(value, source, line, directory)


def _elements(text: io.TextIOWrapper) -> Iterator[tuple[Any, str]]:
    """Yield the elements of an array, or the one value there is; last, where that is so, why there are no more."""
    decoder = json.JSONDecoder()
    buffer = text.read(_CHUNK).lstrip()
    single = not buffer.startswith("[")
    buffer = buffer if single else buffer[1:]
    while True:
        buffer = buffer.lstrip(" \t\r\n" if single else " \t\r\n,")
        try:
            value, end = decoder.raw_decode(buffer)
        except (ValueError, RecursionError) as error:
            more = text.read(max(_CHUNK, len(buffer))) if len(buffer) < MAX_LINE_BYTES else ""
            buffer += more
            if more:
                continue
            if single or not buffer.startswith("]"):
                reason = f"not valid JSON ({error}), and what follows in the file cannot be read; mend the file"
                yield buffer[:1000], reason
            return
        yield value, ""
        buffer = buffer[end:]
        if single:
            return


def csv_rows(file: BinaryIO, source: str, directory: Path) -> Iterator[Record]:
    """Read CSV with a line of names; the separator is the one that the first line has most of."""
    csv.field_size_limit(MAX_LINE_BYTES)
    with _text(file, newline="") as text:
        head = text.readline()
        separator = max(",;\t|", key=head.count)
        names = next(csv.reader([head], delimiter=separator), [])
        reader = csv.reader(text, delimiter=separator)
        while True:
            line = reader.line_num + 2
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reason = f"not valid CSV ({error}); mend the line"
                yield Record(source=source, line=line, directory=directory, reason=reason, raw="")
                continue
            if cells:
                yield _csv_row(names, cells, Record(source=source, line=line, directory=directory))


def _csv_row(names: list[str], cells: list[str], place: Record) -> Record:
    fields: dict[str, Any] = {
        name: _number(cell) if name in _NUMBERS else cell
        for name, cell in zip(names, cells, strict=False)
        if name and cell.strip()
    }
    reason = ""
    if len(cells) > len(names):
        reason = f"{len(cells)} cells where the first line names {len(names)}; quote cells that hold the separator"
    elif any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        reason = "not UTF-8; save the file as UTF-8"
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


def _number(cell: str) -> int | float | str:
    """Return the number that a cell holds; the cell itself where it holds none, for the check to name it."""
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def url_lines(file: BinaryIO, source: str, directory: Path) -> Iterator[Record]:
    """Read a list of image URLs, one a line; an id may stand before the URL."""
    for line, data in _lines(file):
        words = (data or b"").decode("utf-8", "backslashreplace").split()
        if not words or words[0].startswith("#"):
            continue
        url = words[-1]
        place = Record(source=source, line=line, directory=directory)
        if len(words) > 2 or urlsplit(url).scheme not in ("http", "https"):
            reason = "expected an http(s) URL, or an id and a URL"
            yield Record(source=source, line=line, directory=directory, reason=reason, raw=" ".join(words)[:1000])
            continue
        fields = {"id": words[0] if len(words) == 2 else url_id(url), "image": url}
        yield record_of(fields, place.source, place.line, place.directory)


def url_id(url: str) -> str:
    """Return the id of a product that is known only by its photo's URL: the URL, or a digest of a long one."""
    if len(url) <= limits.MAX_PRODUCT_ID_CHARACTERS:
        return url
    name = PurePosixPath(urlsplit(url).path).name[-100:]
    return f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:32]}"
