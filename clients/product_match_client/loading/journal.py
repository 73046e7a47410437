"""What a watch has done, file by file, kept in the folder itself: written behind every step, read at the start."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from product_match.contract.errors import ConfigError

logger = logging.getLogger(__name__)

JOURNAL_FILE: Final = ".product-match-watch.jsonl"


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What tells one state of a file from another.

    Attributes:
        size: Bytes.
        changed_ns: Time of the last change, in nanoseconds.
    """

    size: int
    changed_ns: int


class Journal:
    """The files that are done. One watch at a time holds it.

    A line that was broken off is left out when the journal is read: that file is then done again, which changes
    nothing. Each start writes the journal anew, without what has been overtaken.
    """

    def __init__(self, folder: Path, url: str, grouping: str) -> None:
        """Open the journal of a folder for one server and way of grouping; that of another does not count.

        Raises:
            ConfigError: It cannot be written, or another watch holds it.
        """
        self.path = folder / JOURNAL_FILE
        self._head = {"url": url, "group_photos": grouping}
        self._lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._done = self._read()
            self._file = self._rewritten()
        except BlockingIOError as error:
            os.close(self._lock)
            raise ConfigError(f"another watch follows {folder}; stop it, or watch another folder") from error
        except OSError as error:
            os.close(self._lock)
            raise ConfigError(
                f"the journal {self.path} cannot be written ({error.strerror}); a watch needs it to survive a restart"
            ) from error

    def __enter__(self) -> Journal:
        """Return the journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and let another watch have it."""
        self._file.close()
        os.close(self._lock)

    @property
    def done(self) -> Mapping[str, Stamp]:
        """Files that are done, and in which state."""
        return self._done

    def note(self, name: str, stamp: Stamp) -> None:
        """Note that a file is done."""
        self._done[name] = stamp
        self._write(_entry(name, stamp))

    def forget(self, name: str) -> None:
        """Note that a file is gone."""
        self._done.pop(name, None)
        self._write({"name": name, "gone": True})

    def _read(self) -> dict[str, Stamp]:
        done: dict[str, Stamp] = {}
        if not self.path.exists():
            return done
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file):
                try:
                    entry = json.loads(line)
                    if number == 0 and entry != self._head:
                        return {}
                    if number and "gone" in entry:
                        done.pop(entry["name"], None)
                    elif number:
                        done[entry["name"]] = Stamp(size=entry["size"], changed_ns=entry["changed_ns"])
                except (ValueError, KeyError, TypeError):
                    logger.warning("%s, line %d cannot be read and is left out", self.path, number + 1)
        return done

    def _rewritten(self) -> IO[str]:
        """Write what is done to a new file, put it in the old one's place, and return it, open at its end."""
        partial = self.path.with_name(self.path.name + ".partial")
        file = partial.open("w", encoding="utf-8")
        file.write(json.dumps(self._head) + "\n")
        for name, stamp in self._done.items():
            file.write(json.dumps(_entry(name, stamp)) + "\n")
        file.flush()
        partial.replace(self.path)
        return file

    def _write(self, entry: Mapping[str, object]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


def _entry(name: str, stamp: Stamp) -> dict[str, object]:
    return {"name": name, "size": stamp.size, "changed_ns": stamp.changed_ns}
