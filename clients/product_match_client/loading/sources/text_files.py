"""Sources of text: JSON Lines, JSON and lists of image URLs."""

from __future__ import annotations

import codecs
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
from product_match.contract.errors import InvalidRequestError
from product_match_client.loading.sources.records import Record

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""A line with the largest photo, inline, is 27 MiB; what is longer is no line of a catalogue."""

REJECT_KEYS: Final = frozenset({"source", "line", "reason", "directory", "record"})
"""Keys of a line of a rejects file; such a line stands for the record inside."""

REJECT_OPTIONS: Final = frozenset({"map", "image_separator", "decimal_mark"})
"""Keys that it has, too, where the load was told how to read the record."""

_CHUNK: Final = 1 << 16


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
    constants: list[str] = []
    try:
        value = json.loads(data, parse_constant=constants.append)
    except (ValueError, RecursionError) as error:
        text = data.decode("utf-8", "backslashreplace").rstrip("\r\n")
        reason = f"not valid JSON in UTF-8 ({error}); send one JSON object a line"
        return Record(source=source, line=line, directory=directory, reason=reason, raw=text)
    if constants:
        # Kept as text: what came is not JSON, and a rejects file is.
        text = data.decode("utf-8", "backslashreplace").rstrip("\r\n")
        reason = _constant_reason(value, constants)
        return Record(source=source, line=line, directory=directory, reason=reason, raw=text)
    if isinstance(value, dict) and value.keys() - REJECT_OPTIONS == REJECT_KEYS:
        return _rejected(value)
    return record_of(value, source, line, directory)


def _constant_reason(value: object, constants: list[str]) -> str:
    return f"{_named(value)}{constants[0]} is not JSON; give a number, or leave the field out"


def _named(value: object) -> str:
    return f"product {value['id']}: " if isinstance(value, dict) and isinstance(value.get("id"), str) else ""


def _rejected(entry: dict[str, Any]) -> Record:
    source, line, directory = str(entry["source"]), entry["line"], Path(str(entry["directory"]))
    value = entry["record"]
    if isinstance(value, str):  # it was no JSON then; it may have been corrected since
        record = _json_line(value.encode("utf-8", "surrogatepass"), source, line, directory)
    else:
        record = record_of(value, source, line, directory)
    given = entry.get("map")
    mapping = given if isinstance(given, dict) and all(isinstance(names, list) for names in given.values()) else {}
    return dataclasses.replace(
        record,
        mapping=mapping,
        image_separator=str(entry.get("image_separator", "")),
        decimal_mark=str(entry.get("decimal_mark", "")),
    )


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
def as_text(file: BinaryIO, newline: str | None = None) -> Iterator[io.TextIOWrapper]:
    """Read a file as text: UTF-16 where its first bytes say so, else UTF-8.

    What is not UTF-8 becomes surrogates, so that one bad line does not end the file.
    """
    buffered = io.BufferedReader(file)  # type: ignore[type-var]
    wide = buffered.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    encoding, errors = ("utf-16", "replace") if wide else ("utf-8-sig", "surrogateescape")
    text = io.TextIOWrapper(buffered, encoding=encoding, errors=errors, newline=newline)
    try:
        yield text
    finally:
        text.detach()
        buffered.detach()


def json_array(file: BinaryIO, source: str, directory: Path, inside: str = "") -> Iterator[Record]:
    """Read a JSON array of products, or one product, a piece at a time.

    Args:
        file: The file.
        source: As its user names it.
        directory: Where relative paths of photos start.
        inside: Where in the one object of the file the array is, as in `data.products`; the object is read whole.

    Raises:
        InvalidRequestError: There is no array inside.
    """
    with as_text(file) as text:
        elements = _elements_inside(text, source, inside) if inside else _elements(text)
        for line, (value, reason) in enumerate(elements, start=1):
            if not reason:
                reason = _envelope_reason(value)
            if reason:
                yield Record(source=source, line=line, directory=directory, reason=reason, raw=value)
            else:
                yield record_of(value, source, line, directory)


def _elements_inside(text: io.TextIOWrapper, source: str, inside: str) -> Iterator[tuple[Any, str]]:
    try:
        value = json.load(text, parse_constant=float)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"source {source}: not valid JSON ({error}); mend the file") from error
    for step in inside.split("."):
        if not isinstance(value, dict) or step not in value:
            there = ", ".join(f"`{name}`" for name in value) if isinstance(value, dict) else type(value).__name__
            raise InvalidRequestError(
                f"source {source}: --records {inside}: there is no `{step}`; what is there: {there:.200}"
            )
        value = value[step]
    if not isinstance(value, list):
        raise InvalidRequestError(
            f"source {source}: --records {inside}: expected a list of products, got {type(value).__name__}; "
            "give the way to the list"
        )
    return ((element, "") for element in value)


def _envelope_reason(value: object) -> str:
    """Return what to do where a value holds products and is none."""
    if not isinstance(value, dict) or "id" in value:
        return ""
    lists = list(_lists_inside(value))
    if not lists:
        return ""
    if len(lists) == 1:
        return f"no product, but an object with a list in `{lists[0]}`; give --records {lists[0]}"
    there = ", ".join(f"`{name}`" for name in lists)
    return f"no product, but an object with lists in {there:.200}; give --records and the one with the products"


def _lists_inside(value: dict[str, Any], way: str = "", depth: int = 4) -> Iterator[str]:
    """Yield the ways to lists of objects, the ones nearest to the outside first."""
    deeper: list[tuple[str, dict[str, Any]]] = []
    for name, held in value.items():
        if isinstance(held, list) and held and isinstance(held[0], dict):
            yield f"{way}{name}"
        elif isinstance(held, dict) and depth > 1:
            deeper.append((f"{way}{name}.", held))
    for further, inside in deeper:
        yield from _lists_inside(inside, further, depth - 1)


def _elements(text: io.TextIOWrapper) -> Iterator[tuple[Any, str]]:
    """Yield the elements of an array, or the one value there is; last, where that is so, why there are no more."""
    constants: list[str] = []
    decoder = json.JSONDecoder(parse_constant=constants.append)
    buffer = text.read(_CHUNK).lstrip()
    single = not buffer.startswith("[")
    buffer = buffer if single else buffer[1:]
    while True:
        buffer = buffer.lstrip(" \t\r\n" if single else " \t\r\n,")
        constants.clear()
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
        if constants:
            yield buffer[:end], _constant_reason(value, constants)
        else:
            yield value, ""
        buffer = buffer[end:]
        if single:
            return


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
