"""Sources that need a library of their own: Parquet (pyarrow), Excel (openpyxl) and MongoDB collections (pymongo)."""

from __future__ import annotations

import datetime
import decimal
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ConfigError, InvalidRequestError, UnavailableError
from product_match_client.loading.sources.csv_files import column_names
from product_match_client.loading.sources.records import Record, Source

ROWS_AT_A_TIME: Final = 256
CONNECT_TIMEOUT_MS: Final = 5_000
APPLICATION: Final = "product-match-index"


def parquet_source(path: Path) -> Source:
    """Return the rows of a Parquet file.

    Raises:
        ConfigError: pyarrow is not installed.
        InvalidRequestError: It is not a Parquet file.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise _missing("Parquet", "pyarrow") from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise InvalidRequestError(f"{path} cannot be read as Parquet ({error}); give a Parquet file") from error

    def records() -> Iterator[Record]:
        line = 0
        for batch in file.iter_batches(batch_size=ROWS_AT_A_TIME):
            for row in batch.to_pylist():
                line += 1
                fields = {name: plain(value) for name, value in row.items() if value is not None}
                yield Record(source=str(path), line=line, directory=path.parent, fields=fields, raw=fields)

    return Source(name=str(path), records=records, count=lambda: int(file.metadata.num_rows))


def excel_source(path: Path) -> Source:
    """Return the rows of the first sheet of an Excel file, under the names in its first row.

    Raises:
        ConfigError: openpyxl is not installed.
        InvalidRequestError: It is not an Excel file.
    """
    try:
        import openpyxl
        from openpyxl.utils.exceptions import InvalidFileException
    except ModuleNotFoundError as error:
        raise _missing("Excel", "openpyxl") from error

    def records() -> Iterator[Record]:
        try:
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        except (OSError, KeyError, ValueError, InvalidFileException, zipfile.BadZipFile) as error:
            raise InvalidRequestError(
                f"{path} cannot be read as Excel ({error}); save it as .xlsx, or as CSV"
            ) from error
        with closing(book):
            rows = book.worksheets[0].iter_rows(values_only=True)
            names = column_names(["" if name is None else str(name) for name in next(rows, ())], str(path))
            for line, cells in enumerate(rows, start=2):
                given = zip(names, map(_cell, cells), strict=False)
                fields = {name: value for name, value in given if name and value not in (None, "")}
                if fields:
                    yield Record(
                        source=str(path), line=line, directory=path.parent.resolve(), fields=fields, raw=fields
                    )

    return Source(name=str(path), records=records)


def _cell(value: object) -> Any:
    """Return a cell's value; a whole number stays one where Excel made a fraction of it."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.strip() if isinstance(value, str) else plain(value)


def mongodb_source(uri: str) -> Source:
    """Return the documents of a MongoDB collection, `mongodb://host/database.collection`.

    Raises:
        ConfigError: pymongo is not installed.
        InvalidRequestError: The URI names no collection.
    """
    try:
        import pymongo
        from pymongo import errors, uri_parser
    except ModuleNotFoundError as error:
        raise _missing("MongoDB", "pymongo") from error
    try:
        parts = uri_parser.parse_uri(uri)
    except (errors.PyMongoError, ValueError) as error:
        raise InvalidRequestError(f"the MongoDB address cannot be read ({error}); {_MONGODB_FORM}") from error
    if not parts["collection"]:
        raise InvalidRequestError(f"the MongoDB address names no collection; {_MONGODB_FORM}")
    name = f"{parts['database']}.{parts['collection']}"

    @contextmanager
    def collection() -> Iterator[Any]:
        try:
            client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
                uri, serverSelectionTimeoutMS=CONNECT_TIMEOUT_MS, appname=APPLICATION
            )
            with client:
                yield client[parts["database"]][parts["collection"]]
        except errors.PyMongoError as error:
            raise UnavailableError(f"MongoDB does not answer for {name} ({error}); see that it is up") from error

    def records() -> Iterator[Record]:
        with collection() as documents:
            for line, document in enumerate(documents.find().sort("_id", 1).batch_size(ROWS_AT_A_TIME), start=1):
                fields = {key: plain(value) for key, value in document.items() if value is not None}
                key = fields.pop("_id", None)
                fields.setdefault("id", key)
                yield Record(source=name, line=line, directory=Path.cwd(), fields=fields, raw=fields)

    def count() -> int:
        with collection() as documents:
            return int(documents.estimated_document_count())

    return Source(name=name, records=records, count=count)


_MONGODB_FORM: Final = "write mongodb://host:27017/database.collection"


def _missing(what: str, package: str) -> ConfigError:
    return ConfigError(f'reading {what} needs {package}; install it with `pip install "product-match[sources]"`')


def plain(value: object) -> Any:
    """Return a value in types that JSON has; bytes stay, for photos."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        return bytes(value)
    if value is None or isinstance(value, str | int | float):
        return value
    to_decimal = getattr(value, "to_decimal", None)  # bson's Decimal128
    if to_decimal is not None:
        return float(to_decimal())
    return str(value)
