"""From what is typed to a source: by suffix, by scheme, or by `--format`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from product_match.contract.errors import InvalidRequestError
from product_match_client.loading.sources import csv_files, text_files, xml_feeds
from product_match_client.loading.sources.archives import inner_suffix, unpacked
from product_match_client.loading.sources.encodings import UTF_8, in_utf_8, path_encoding
from product_match_client.loading.sources.folders import Grouping, folder_source
from product_match_client.loading.sources.presets import with_preset
from product_match_client.loading.sources.records import Record, Source
from product_match_client.loading.sources.tables import excel_source, mongodb_source, parquet_source

STANDARD_INPUT: Final = "-"
Reader = Callable[[BinaryIO, str, Path], Iterator[Record]]

READERS: Final[Mapping[str, Reader]] = {
    "jsonl": text_files.json_lines,
    "json": text_files.json_array,
    "csv": csv_files.csv_rows,
    "urls": text_files.url_lines,
    "xml": xml_feeds.xml_items,
}
FORMATS: Final = (*READERS, "parquet", "excel")

_UNICODE: Final = frozenset({UTF_8, "utf-16"})

_SUFFIXES: Final[Mapping[str, str]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "urls",
    ".parquet": "parquet",
    ".xml": "xml",
    ".rss": "xml",
    ".atom": "xml",
    ".xlsx": "excel",
}


def open_source(
    name: str,
    format_name: str | None = None,
    grouping: Grouping = Grouping.FILE,
    inside: str = "",
    encoding: str = "",
    preset: str = "",
) -> Source:
    """Return a source.

    Args:
        name: A path, `mongodb://host/database.collection`, or `-` for standard input.
        format_name: One of FORMATS; told by the suffix unless given, JSON Lines for standard input.
        grouping: Which images of a folder are photos of the same product.
        inside: Where in a JSON file the array of products is, as in `data.products`; empty where it is the file.
        encoding: How a text file is written; told by what is in it unless given.
        preset: Whose feed it is, one of PRESETS; empty where its fields are a product's.

    Raises:
        InvalidRequestError: It is not there, or nothing says what it is.
        ConfigError: The library that it needs is not installed.
    """
    source = _open_source(name, format_name, grouping, inside, encoding, preset)
    if not preset:
        return source
    return dataclasses.replace(source, records=lambda: with_preset(source.records(), preset), count=lambda: None)


def _open_source(
    name: str, format_name: str | None, grouping: Grouping, inside: str, encoding: str, preset: str
) -> Source:
    if name == STANDARD_INPUT:
        return _standard_input(format_name or "jsonl", encoding)
    if name.startswith(("mongodb://", "mongodb+srv://")):
        return mongodb_source(name)
    path = Path(name)
    if path.is_dir():
        return folder_source(path, grouping)
    if not path.is_file():
        raise InvalidRequestError(f"source {name}: there is no such file or folder; give one that exists")
    suffix = _suffix(path, name)
    kind = format_name or ("csv" if preset and suffix == ".txt" else _SUFFIXES.get(suffix))
    if kind is None:
        raise InvalidRequestError(
            f"source {name}: the suffix does not say what it is; give --format, one of {', '.join(FORMATS)}"
        )
    if kind == "parquet":
        return parquet_source(path)
    if kind == "excel":
        return excel_source(path)
    if kind == "xml" and not preset:
        raise InvalidRequestError(
            f"source {name}: a feed in XML names its fields in its own way; give --preset google"
        )
    reader = READERS[kind]
    if inside:
        if kind != "json":
            raise InvalidRequestError(f"source {name}: --records is for JSON files, this is {kind}; leave it out")
        reader = partial(text_files.json_array, inside=inside)
    counted = (
        None
        if kind in ("json", "xml") or suffix != path.suffix.lower()
        else partial(_lines_of_products, path, 1 if kind == "csv" else 0)
    )
    known = UTF_8 if kind == "xml" else encoding or _told_encoding(path, name)
    return Source(
        name=name,
        records=partial(_file_records, path, name, reader, known),
        count=counted or (lambda: None),
        read_as=known if not encoding and known not in _UNICODE else "",
    )


def _suffix(path: Path, name: str) -> str:
    try:
        return inner_suffix(path)
    except OSError as error:
        raise InvalidRequestError(f"source {name} cannot be read ({error.strerror}); see its permissions") from error


def _told_encoding(path: Path, name: str) -> str:
    try:
        return path_encoding(path)
    except OSError as error:
        raise InvalidRequestError(f"source {name} cannot be read ({error.strerror}); see its permissions") from error
    except InvalidRequestError as error:
        raise InvalidRequestError(f"source {name}: {error}") from error


def _lines_of_products(path: Path, heading: int) -> int:
    return max(0, text_files.count_lines(path) - heading)


def _file_records(path: Path, name: str, reader: Reader, encoding: str) -> Iterator[Record]:
    try:
        with unpacked(path) as file:
            yield from reader(in_utf_8(file, encoding), name, path.parent.resolve())
    except OSError as error:
        raise InvalidRequestError(f"source {name} cannot be read ({error.strerror}); see its permissions") from error


def _standard_input(format_name: str, encoding: str) -> Source:
    if format_name not in READERS:
        raise InvalidRequestError(
            f"standard input cannot be {format_name}; give the file itself, or one of {', '.join(READERS)}"
        )
    reader = READERS[format_name]
    return Source(
        name=STANDARD_INPUT,
        records=lambda: reader(in_utf_8(sys.stdin.buffer, encoding or UTF_8), "standard input", Path.cwd()),
    )
