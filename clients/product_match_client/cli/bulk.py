"""A load as a command runs it: client, downloader, progress bar, rejects file and summary."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from product_match_client.async_client import AsyncProductMatchClient
from product_match_client.cli.arguments import credentials
from product_match_client.cli.output import Console
from product_match_client.cli.progress import Progress, duration_text
from product_match_client.credentials import Credentials
from product_match_client.loading.addresses import PublicAddresses, system_resolve
from product_match_client.loading.downloads import DownloadSettings, PhotoDownloader
from product_match_client.loading.loader import REJECTED, Loader, LoadResult, LoadSettings
from product_match_client.loading.rejects import Rejects
from product_match_client.loading.sources.mapping import FieldMapping
from product_match_client.loading.sources.records import Record

SPARE_CONNECTIONS: Final = 4
STATUSES: Final = ("created", "updated", "unchanged", "rejected")
Settled = Callable[[Record], None]


@dataclass(frozen=True, kw_only=True)
class BulkSettings:
    """What a load by command is told.

    Attributes:
        load: Bounds of the load.
        downloads: Bounds of downloads.
        timeout_s: Longest wait for one answer.
        credentials: The key, and whom to trust.
        rejects: Where records go that cannot be loaded; None to keep none.
        append_rejects: True to add to that file, False to write it anew.
        mapping: The source's names of product fields that have others there.
        image_separator: What stands between several photos in one text, if anything does.
        decimal_mark: What stands before decimals, where that was said.
        allow_private_addresses: True to fetch photos from private addresses too.
    """

    load: LoadSettings = field(default_factory=LoadSettings)
    downloads: DownloadSettings = field(default_factory=DownloadSettings)
    timeout_s: float = 60.0
    credentials: Credentials = field(default_factory=Credentials)
    rejects: Path | None = None
    append_rejects: bool = False
    mapping: FieldMapping = field(default_factory=dict)
    image_separator: str = ""
    decimal_mark: str = ""
    allow_private_addresses: bool = False


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a load did.

    Attributes:
        records: Records read.
        created: Products that are new.
        updated: Products that were changed.
        unchanged: Products that the server held already.
        rejected: Records that could not be loaded.
        retries: Requests that were sent again.
        seconds: How long it took.
        records_per_s: Records in a second.
        rejects: The file that holds what was rejected, if anything was.
    """

    records: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    retries: int
    seconds: float
    records_per_s: float
    rejects: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of a summary."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Return the summary as a person reads it."""
        done = ", ".join(f"{getattr(self, status):,} {status}" for status in STATUSES)
        where = f"; see {self.rejects}, and load that file to try again" if self.rejects else ""
        return f"{self.records:,} records in {duration_text(self.seconds)}: {done}{where}"


def bulk_settings(arguments: argparse.Namespace) -> BulkSettings:
    """Return the settings that the options of `index` ask for."""
    return BulkSettings(
        load=LoadSettings(
            batch_size=arguments.batch_size,
            concurrency=arguments.concurrency,
            photo_readers=arguments.downloads,
            give_up_after_s=arguments.give_up_after,
            first_answer_s=arguments.first_answer,
            wait=arguments.wait,
            compare=not arguments.force,
        ),
        downloads=DownloadSettings(timeout_s=arguments.download_timeout, connections=arguments.downloads),
        timeout_s=arguments.timeout,
        credentials=credentials(arguments, os.environ),
        rejects=arguments.rejects,
        append_rejects=arguments.watch is not None,
        mapping=arguments.map,
        image_separator=arguments.image_separator,
        decimal_mark=arguments.decimal_mark,
        allow_private_addresses=arguments.allow_private_addresses,
    )


class BulkLoad:
    """Loads records, as often as it is asked to."""

    def __init__(self, url: str, settings: BulkSettings, console: Console) -> None:
        self.url, self.settings, self._console = url, settings, console

    def run(
        self,
        records: Iterator[Record],
        *,
        total: int | None = None,
        label: str = "index",
        settled: Settled | None = None,
    ) -> Summary:
        """Load records under a progress bar.

        Args:
            records: What to load.
            total: How many there are, if that is known.
            label: What the progress bar says.
            settled: Hears of each record that is done.

        Raises:
            ProductMatchError: The source, the server or the rejects file cannot be used.
        """
        rejects = Rejects(
            self.settings.rejects,
            append=self.settings.append_rejects,
            mapping=self.settings.mapping,
            image_separator=self.settings.image_separator,
            decimal_mark=self.settings.decimal_mark,
        )
        started = time.monotonic()
        with rejects, Progress(self._console, label, total=total) as progress:
            listener = _Listener(progress, rejects, self._console, settled)
            try:
                result = asyncio.run(self._load(records, listener))
            except KeyboardInterrupt:
                self._console.note(_interrupted(listener.counts, rejects))
                raise
        seconds = time.monotonic() - started
        counts = {status: result.counts[status] for status in STATUSES}
        return Summary(
            **counts,
            records=sum(counts.values()),
            retries=result.retries,
            seconds=round(seconds, 3),
            records_per_s=round(sum(counts.values()) / max(seconds, 1e-9), 1),
            rejects=str(rejects.path) if rejects.path is not None and counts[REJECTED] else None,
        )

    async def _load(self, records: Iterator[Record], listener: _Listener) -> LoadResult:
        settings = self.settings
        client = AsyncProductMatchClient(
            self.url,
            timeout_s=settings.timeout_s,
            connections=settings.load.concurrency + SPARE_CONNECTIONS,
            key=settings.credentials.key,
            ca_file=settings.credentials.ca_file,
        )
        addresses = PublicAddresses(allow_private=settings.allow_private_addresses, resolve=system_resolve)
        async with client, PhotoDownloader(settings=settings.downloads, addresses=addresses) as downloader:
            loader = Loader(
                client,
                downloader,
                listener,
                settings.load,
                mapping=settings.mapping,
                image_separator=settings.image_separator,
                decimal_mark=settings.decimal_mark,
            )
            return await loader.load(records)


def _interrupted(counts: Counter[str], rejects: Rejects) -> str:
    done = ", ".join(f"{counts[status]:,} {status}" for status in STATUSES)
    where = f"; what was rejected so far is in {rejects.place}" if rejects.place is not None and rejects.count else ""
    return f"stopped after {counts.total():,} records: {done}{where}; the same command goes on from there"


class _Listener:
    """Counts, writes rejects, and says once that the server is away, until it is back."""

    def __init__(self, progress: Progress, rejects: Rejects, console: Console, settled: Settled | None) -> None:
        self._progress, self._rejects, self._console, self._settled = progress, rejects, console, settled
        self._away = False
        self.counts: Counter[str] = Counter()

    def settled(self, record: Record, status: str, reason: str) -> None:
        """One record is done."""
        self._away = False
        self.counts[status] += 1
        rejected = status == REJECTED
        if rejected:
            self._rejects.add(record, reason)
        self._progress.advance(done=not rejected, failed=rejected)
        if self._settled is not None:
            self._settled(record)

    def waiting(self, reason: str) -> None:
        """The server is away or busy."""
        if not self._away:
            self._away = True
            self._progress.note(f"waiting for the server: {reason}")
