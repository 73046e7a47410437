"""Follows a folder of images: what appears, changes and disappears there does so in the catalogue.

The folder is looked at again and again, which works on every file system and misses nothing that happened while
nobody looked. A file counts once two looks in a row found the same size and time: half-written ones are left alone.
What is done is noted in a journal in the folder, after the server has said so: a restart goes on from there, and a
folder that has vanished (an unmounted disk) takes its journal with it and is not mistaken for one that was emptied.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from product_match.contract.errors import InvalidRequestError, NotFoundError, UnavailableError
from product_match_client.bulk import BulkLoad, Settled, Summary
from product_match_client.client import ProductMatchClient
from product_match_client.journal import Journal, Stamp
from product_match_client.output import Console
from product_match_client.sources.folders import file_id, image_names
from product_match_client.sources.records import Record

logger = logging.getLogger(__name__)

POLL_S: Final = 1.0
"""Time between two looks; a look that takes long itself makes it longer."""

REST: Final = 10.0
"""Times as long as a look takes, no look is taken: a large folder is not walked all the time."""


class Catalogue(Protocol):
    """What a watch does to the catalogue."""

    def load(self, records: Iterator[Record], total: int, settled: Settled) -> Summary:
        """Add and update products."""

    def remove(self, product_ids: list[str]) -> None:
        """Remove products."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What a look found.

    Attributes:
        changed: Files to load, by name.
        gone: Names of files that are no longer there.
        unsettled: True if a file is still being written.
    """

    changed: Mapping[str, Stamp]
    gone: tuple[str, ...]
    unsettled: bool


class FolderWatch:
    """One folder, its journal, and the catalogue that follows it."""

    def __init__(self, folder: Path, journal: Journal, catalogue: Catalogue) -> None:
        self._folder, self._journal, self._catalogue = folder, journal, catalogue
        self._before: dict[str, Stamp] = {}

    def look(self) -> Differences:
        """Compare the folder with the journal.

        Raises:
            UnavailableError: The folder, or the journal in it, is not there.
        """
        if not self._journal.path.is_file():
            raise UnavailableError(f"{self._folder} is not there, or has lost its journal {self._journal.path.name}")
        now = stamps(self._folder)
        done = self._journal.done
        new = {name: stamp for name, stamp in now.items() if done.get(name) != stamp}
        settled = {name: stamp for name, stamp in new.items() if self._before.get(name) == stamp}
        self._before = now
        gone = tuple(name for name in done if name not in now)
        return Differences(changed=settled, gone=gone, unsettled=len(settled) < len(new))

    def follow(self, differences: Differences) -> Summary | None:
        """Bring the catalogue in line; what fails to load is tried again when the file changes.

        Raises:
            UnavailableError: The server did not answer for too long.
        """
        if differences.gone:
            # A file that was renamed keeps its product where the new name gives the same id.
            kept = {file_id(name) for name in self._before}
            self._catalogue.remove([file_id(name) for name in differences.gone if file_id(name) not in kept])
            for name in differences.gone:
                self._journal.forget(name)
        if not differences.changed:
            return None

        def settled(record: Record) -> None:
            name = str((record.fields or {})["image"])
            self._journal.note(name, differences.changed[name])

        records = (self._record(line, name) for line, name in enumerate(sorted(differences.changed), start=1))
        return self._catalogue.load(records, len(differences.changed), settled)

    def _record(self, line: int, name: str) -> Record:
        fields = {"id": file_id(name), "image": name}
        return Record(
            source=str(self._folder), line=line, directory=self._folder.resolve(), fields=fields, raw=fields
        )


def stamps(folder: Path) -> dict[str, Stamp]:
    """Return size and time of the images of a folder; where two names give one id, of the first.

    Raises:
        UnavailableError: The folder cannot be read to the end, so what is missing may still be there.
    """
    found: dict[str, Stamp] = {}
    ids: set[str] = set()
    try:
        for name in image_names(folder):
            if file_id(name) not in ids:
                ids.add(file_id(name))
                state = (folder / name).stat()
                found[name] = Stamp(size=state.st_size, changed_ns=state.st_mtime_ns)
    except OSError as error:
        raise UnavailableError(f"{folder} cannot be read to the end ({error}); it is looked at again") from error
    return found


class _Server:
    """The catalogue of a server."""

    def __init__(self, load: BulkLoad) -> None:
        self._load = load

    def load(self, records: Iterator[Record], total: int, settled: Settled) -> Summary:
        return self._load.run(records, total=total, label="watch", settled=settled)

    def remove(self, product_ids: list[str]) -> None:
        if product_ids:
            with ProductMatchClient(self._load.url, timeout_s=self._load.settings.timeout_s) as client:
                try:
                    client.delete(product_ids)
                except NotFoundError:
                    logger.info("none of %d products was in the catalogue", len(product_ids))


def pause(seconds: float) -> None:
    """Wait until the next look; a name of its own, for tests to replace without stopping other threads' sleep."""
    time.sleep(seconds)


def watch(
    folder: Path,
    load: BulkLoad,
    console: Console,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Follow a folder until Ctrl-C.

    Args:
        folder: Images, their names the ids.
        load: How products are loaded.
        console: Where it is told what happens.
        clock: Seconds; for tests.

    Returns:
        0, after Ctrl-C.

    Raises:
        InvalidRequestError: There is no such folder.
        ConfigError: The journal cannot be written.
    """
    if not folder.is_dir():
        raise InvalidRequestError(f"--watch {folder}: there is no such folder; give one that exists")
    away = False
    try:
        with Journal(folder, load.url) as journal:
            follower = FolderWatch(folder, journal, _Server(load))
            console.note(f"watching {folder}, {len(journal.done):,} images are done; Ctrl-C stops")
            while True:
                started = clock()
                try:
                    summary = follower.follow(follower.look())
                    if summary is not None:
                        console.json_line(summary.to_dict())
                        console.flush()
                    away = False
                except UnavailableError as error:
                    if not away:
                        console.note(f"waiting: {error}")
                    away = True
                pause(max(POLL_S, REST * (clock() - started) if not away else POLL_S))
    except KeyboardInterrupt:
        console.note("stopped")
        return 0
