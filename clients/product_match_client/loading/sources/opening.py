"""From what is typed to a source: by suffix, by scheme, or by `--format`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from product_match.contract.errors import InvalidRequestError
from product_match_client.loading.sources import csv_files, text_files
from product_match_client.loading.sources.encodings import UTF_8, in_utf_8, path_encoding
from product_match_client.loading.sources.folders import Grouping, folder_source
from product_match_client.loading.sources.records import Record, Source
from product_match_client.loading.sources.tables import mongodb_source, parquet_source

STANDARD_INPUT: Final = "-"
Reader = Callable[[BinaryIO, str, Path], Iterator[Record]]

READERS: Final[Mapping[str, Reader]] = {
    "jsonl": text_files.json_lines,
    "json": text_files.json_array,
    "csv": csv_files.csv_rows,
    "urls": text_files.url_lines,
}
FORMATS: Final = (*READERS, "parquet")

_UNICODE: Final = frozenset({UTF_8, "utf-16"})

_SUFFIXES: Final[Mapping[str, str]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "urls",
    ".parquet": "parquet",
}


def open_source(
    name: str,
    format_name: str | None = None,
    grouping: Grouping = Grouping.FILE,
    inside: str = "",
    encoding: str = "",
) -> Source:
    """Return a source.

    Args:
        name: A path, `mongodb://host/database.collection`, or `-` for standard input.
        format_name: One of FORMATS; told by the suffix unless given, JSON Lines for standard input.
        grouping: Which images of a folder are photos of the same product.
        inside: Where in a JSON file the array of products is, as in `data.products`; empty where it is the file.
        encoding: How a text file is written; told by what is in it unless given.

    Raises:
        InvalidRequestError: It is not there, or nothing says what it is.
        ConfigError: The library that it needs is not installed.
    """
    if name == STANDARD_INPUT:
        return _standard_input(format_name or "jsonl", encoding)
    if name.startswith(("mongodb://", "mongodb+srv://")):
        return mongodb_source(name)
    path = Path(name)
    if path.is_dir():
        return folder_source(path, grouping)
    if not path.is_file():
        raise InvalidRequestError(f"source {name}: there is no such file or folder; give one that exists")
    kind = format_name or _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InvalidRequestError(
            f"source {name}: the suffix does not say what it is; give --format, one of {', '.join(FORMATS)}"
        )
    if kind == "parquet":
        return parquet_source(path)
    reader = READERS[kind]
    if inside:
        if kind != "json":
            raise InvalidRequestError(f"source {name}: --records is for JSON files, this is {kind}; leave it out")
        reader = partial(text_files.json_array, inside=inside)
    counted = None if kind == "json" else partial(_lines_of_products, path, 1 if kind == "csv" else 0)
    known = encoding or _told_encoding(path, name)
    return Source(
        name=name,
        records=partial(_file_records, path, name, reader, known),
        count=counted or (lambda: None),
        read_as=known if not encoding and known not in _UNICODE else "",
    )


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
        file = path.open("rb")
    except OSError as error:
        raise InvalidRequestError(f"source {name} cannot be read ({error.strerror}); see its permissions") from error
    with file:
        yield from reader(in_utf_8(file, encoding), name, path.parent.resolve())


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
