"""The rejects file: what could not be loaded, why, and the record itself, so that it can be loaded again."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from product_match.contract.errors import ConfigError
from product_match_client.loading.sources.mapping import FieldMapping
from product_match_client.loading.sources.records import Record


class Rejects:
    """Writes one JSON object a line, beside the file, which it takes the place of when the load is over.

    So a rejects file can be the source of the load that replaces it, and a load that is killed leaves it alone.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        append: bool = False,
        mapping: FieldMapping | None = None,
        image_separator: str = "",
        decimal_mark: str = "",
    ) -> None:
        """Write to `path`; None counts and keeps nothing.

        Args:
            path: The file.
            append: Add to the file at once: for a watch, which is many loads and has no end.
            mapping: The source's names of product fields, kept for the next try.
            image_separator: What stands between several photos in one text, kept likewise.
            decimal_mark: What stands before decimals, where that was said; kept likewise.
        """
        self._decimal_mark = decimal_mark
        self._mapping, self._image_separator = mapping or {}, image_separator
        self.path = path
        self._append = append
        self.count = 0
        self._place = Path(f"{path}" if append else f"{path}.partial")
        self._file: IO[str] | None = None

    @property
    def place(self) -> Path | None:
        """The file that is written now, which is another until the load is over; None where nothing is kept."""
        return None if self.path is None else self._place

    def __enter__(self) -> Rejects:
        """Nothing is written before the first reject."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the file in place; without rejects there is none. A load that was broken off leaves the old one."""
        if self._file is not None:
            self._file.close()
        if kind is not None or self.path is None or self._append:
            return
        if self.count:
            self._place.replace(self.path)
        else:
            self.path.unlink(missing_ok=True)

    def add(self, record: Record, reason: str) -> None:
        """Write one record.

        Raises:
            ConfigError: The file cannot be written.
        """
        self.count += 1
        if self.path is None:
            return
        line = {
            "source": record.source,
            "line": record.line,
            "reason": reason,
            "directory": str(record.directory),
            "record": _storable(record.fields if record.raw is None else record.raw),
        }
        if mapping := self._mapping or record.mapping:
            line["map"] = mapping
        if separator := self._image_separator or record.image_separator:
            line["image_separator"] = separator
        if mark := self._decimal_mark or record.decimal_mark:
            line["decimal_mark"] = mark
        try:
            if self._file is None:
                self._file = self._place.open("a" if self._append else "w", encoding="utf-8")
            self._file.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise ConfigError(
                f"the rejects file {self._place} cannot be written ({error.strerror}); give another with --rejects"
            ) from error


def _storable(value: object) -> Any:
    """Return a value that JSON has: a photo's bytes become a data URL, which reads back as the same photo."""
    if isinstance(value, bytes | bytearray):
        return "data:application/octet-stream;base64," + base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # as text, for the file is strict JSON
    if isinstance(value, dict):
        return {str(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
