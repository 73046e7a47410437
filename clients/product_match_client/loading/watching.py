"""Follows a folder of images: what appears, changes and disappears there does so in the catalogue.

The folder is looked at again and again, which works on every file system and misses nothing that happened while
nobody looked. A file counts once two looks in a row found the same size and time: half-written ones are left alone.
What is done is noted in a journal in the folder, after the server has said so: a restart goes on from there, and a
folder that has vanished (an unmounted disk) takes its journal with it and is not mistaken for one that was emptied.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from product_match.contract.errors import InvalidRequestError, NotFoundError, UnavailableError
from product_match_client.cli.bulk import BulkLoad, Settled, Summary
from product_match_client.cli.output import Console
from product_match_client.client import ProductMatchClient
from product_match_client.loading.journal import Journal, Stamp
from product_match_client.loading.sources.folders import (
    FolderProduct,
    Grouping,
    folder_products,
    left_out,
    product_id,
)
from product_match_client.loading.sources.records import Record

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
        changed: Products to load, each with the state of all its photos.
        gone: Products that have no photo any more.
        lost: Names in the journal that are no longer there, by product.
    """

    changed: Mapping[str, Mapping[str, Stamp]]
    gone: tuple[str, ...]
    lost: Mapping[str, Sequence[str]]


class FolderWatch:
    """One folder, its journal, and the catalogue that follows it."""

    def __init__(
        self, folder: Path, journal: Journal, catalogue: Catalogue, grouping: Grouping = Grouping.FILE
    ) -> None:
        self._folder, self._journal, self._catalogue, self._grouping = folder, journal, catalogue, grouping
        self._before: dict[str, Stamp] = {}

    def look(self) -> Differences:
        """Compare the folder with the journal.

        Raises:
            UnavailableError: The folder, or the journal in it, is not there.
        """
        if not self._journal.path.is_file():
            raise UnavailableError(f"{self._folder} is not there, or has lost its journal {self._journal.path.name}")
        products = stamps(self._folder, self._grouping)
        now = {name: stamp for photos in products.values() for name, stamp in photos.items()}
        done = self._journal.done
        new = {name for name, stamp in now.items() if done.get(name) != stamp}
        unsettled = {self._id(name) for name in new if self._before.get(name) != now[name]}
        lost: dict[str, list[str]] = {}
        for name in done:
            if name not in now:
                lost.setdefault(self._id(name), []).append(name)
        self._before = now
        touched = {*lost, *(self._id(name) for name in new)} - unsettled
        return Differences(
            changed={id_: products[id_] for id_ in sorted(touched) if id_ in products},
            gone=tuple(id_ for id_ in lost if id_ not in products),
            lost=lost,
        )

    def follow(self, differences: Differences) -> Summary | None:
        """Bring the catalogue in line; what fails to load is tried again when one of its files changes.

        Raises:
            UnavailableError: The server did not answer for too long.
        """
        if differences.gone:
            self._catalogue.remove(list(differences.gone))
            for id_ in differences.gone:
                self._forget(differences.lost[id_])
        if not differences.changed:
            return None
        ids: dict[int, str] = {}

        def records() -> Iterator[Record]:
            for line, (id_, photos) in enumerate(differences.changed.items(), start=1):
                ids[line] = id_
                yield FolderProduct(id=id_, names=list(photos)).record(self._folder, line)

        def settled(record: Record) -> None:
            id_ = ids[record.line]
            for name, stamp in differences.changed[id_].items():
                self._journal.note(name, stamp)
            self._forget(differences.lost.get(id_, ()))

        return self._catalogue.load(records(), len(differences.changed), settled)

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            self._journal.forget(name)

    def _id(self, name: str) -> str:
        return product_id(name, self._grouping)


def stamps(folder: Path, grouping: Grouping = Grouping.FILE) -> dict[str, dict[str, Stamp]]:
    """Return the products of a folder, each with size and time of its photos; where two give one id, the first.

    Raises:
        UnavailableError: The folder cannot be read to the end, so what is missing may still be there.
    """
    found: dict[str, dict[str, Stamp]] = {}
    try:
        for product in folder_products(folder, grouping):
            if product.id not in found:
                found[product.id] = {name: _stamp(folder / name) for name in product.names}
    except OSError as error:
        raise UnavailableError(f"{folder} cannot be read to the end ({error}); it is looked at again") from error
    return found


def _stamp(path: Path) -> Stamp:
    state = path.stat()
    return Stamp(size=state.st_size, changed_ns=state.st_mtime_ns)


class _Server:
    """The catalogue of a server."""

    def __init__(self, load: BulkLoad, console: Console) -> None:
        self._load, self._console = load, console

    def load(self, records: Iterator[Record], total: int, settled: Settled) -> Summary:
        return self._load.run(records, total=total, label="watch", settled=settled)

    def remove(self, product_ids: list[str]) -> None:
        if product_ids:
            settings = self._load.settings
            shown = settings.credentials
            with ProductMatchClient(
                self._load.url, timeout_s=settings.timeout_s, key=shown.key, ca_file=shown.ca_file
            ) as client:
                try:
                    removed = client.delete(product_ids)
                    self._console.note(f"removed as their photos are gone: {removed:,}")
                    self._console.json_line({"removed": removed})
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
    grouping: Grouping = Grouping.FILE,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Follow a folder until Ctrl-C.

    Args:
        folder: Images, their names the ids.
        load: How products are loaded.
        console: Where it is told what happens.
        grouping: Which images show the same product.
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
        with Journal(folder, load.url, grouping.value) as journal:
            follower = FolderWatch(folder, journal, _Server(load, console), grouping)
            console.note(f"watching {folder}, {len(journal.done):,} images are done; Ctrl-C stops")
            if note := left_out(folder):
                console.note(note)
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
