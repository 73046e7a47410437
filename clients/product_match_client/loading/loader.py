"""Loads records into the catalogue: reading, fetching photos and requests overlap, and none of them can run ahead.

    records -> rows -> photos -> the server's hashes -> requests

Each arrow is a bounded queue, photos are held within a budget of bytes, and requests within a window that follows
what the server can take: so memory does not grow with the source. A product that comes twice is loaded in order.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol

from product_match.contract import limits
from product_match.contract.errors import (
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    ProductMatchError,
    UnavailableError,
)
from product_match.contract.products import check_photos, content_hash
from product_match_client.answers import Receipt
from product_match_client.loading.feeding import feed
from product_match_client.loading.retrying import FIRST_ANSWER_S, Patience, backoff_s
from product_match_client.loading.rows import Row, open_row
from product_match_client.loading.sources.mapping import FieldMapping
from product_match_client.loading.sources.records import Record
from product_match_client.loading.tasks import run_together
from product_match_client.loading.window import ByteBudget, Window
from product_match_client.photos import Downloader, read_photo
from product_match_client.requests import ProductRow

logger = logging.getLogger(__name__)

UNCHANGED: Final = "unchanged"
REJECTED: Final = "rejected"
BATCH_BYTES: Final = 32 * 1024 * 1024
INTERNAL_ATTEMPTS: Final = 6
"""Times that one product is sent again after an internal error: long enough for a broken process to come back."""


class Server(Protocol):
    """What a load asks of a server."""

    async def index_batch(self, rows: Sequence[ProductRow], *, wait: bool = False) -> list[Receipt]:
        """Add or update products."""

    async def hashes(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the content hashes of the products that the server holds."""


class Listener(Protocol):
    """Hears what becomes of each record."""

    def settled(self, record: Record, status: str, reason: str) -> None:
        """One record is done: created, updated, unchanged or rejected."""

    def waiting(self, reason: str) -> None:
        """The server is away or busy; the load waits for it."""


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """How a load goes about it.

    Attributes:
        batch_size: Products in one request.
        concurrency: Most requests in flight; fewer while the server is busy.
        photo_readers: Photos read or fetched at a time.
        buffer_bytes: Photos held at a time, in bytes.
        hash_batch: Most products in one question for hashes.
        give_up_after_s: Longest time without any answer of the server.
        first_answer_s: The same for one that has not answered yet.
        wait: True to have each product found before its request is answered.
        compare: True to leave out what the server holds already.
    """

    batch_size: int = 8
    concurrency: int = 16
    photo_readers: int = 16
    buffer_bytes: int = 256 * 1024 * 1024
    hash_batch: int = 256
    give_up_after_s: float = 600.0
    first_answer_s: float = FIRST_ANSWER_S
    wait: bool = False
    compare: bool = True


@dataclass(kw_only=True)
class LoadResult:
    """What a load did.

    Attributes:
        counts: Records by what became of them: created, updated, unchanged, rejected.
        retries: Requests that were sent again.
    """

    counts: Counter[str] = field(default_factory=Counter)
    retries: int = 0


class Loader:
    """One load. Use it once, in the event loop that made the client."""

    def __init__(
        self,
        server: Server,
        downloader: Downloader,
        listener: Listener,
        settings: LoadSettings,
        *,
        mapping: FieldMapping | None = None,
        image_separator: str = "",
        decimal_mark: str = "",
        patience: Patience | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare a load.

        Args:
            server: Takes the products.
            downloader: Fetches photos by URL.
            listener: Hears what becomes of each record.
            settings: Bounds.
            mapping: The source's names of product fields that have others there.
            image_separator: What stands between several photos in one text, if anything does.
            decimal_mark: What stands before decimals, where that was said.
            patience: Knows how long the server has been away; for tests.
            sleep: Waits; for tests.
        """
        self._server, self._downloader, self._listener, self._settings = server, downloader, listener, settings
        self._mapping, self._image_separator, self._decimal_mark = mapping or {}, image_separator, decimal_mark
        self._patience = patience or Patience(settings.give_up_after_s, settings.first_answer_s)
        self._sleep = sleep
        self._result = LoadResult()
        self._window = Window(settings.concurrency)
        self._budget = ByteBudget(settings.buffer_bytes)
        self._last: dict[str, Row] = {}
        self._opened: asyncio.Queue[Row | None] = asyncio.Queue(settings.hash_batch)
        self._ready: asyncio.Queue[Row | None] = asyncio.Queue(settings.hash_batch)
        self._changed: asyncio.Queue[Row | None] = asyncio.Queue(settings.hash_batch)

    async def load(self, records: Iterator[Record]) -> LoadResult:
        """Load every record.

        Raises:
            UnavailableError: The server did not answer for `give_up_after_s`; what was loaded stays.
            ProductMatchError: The source or the server cannot be used at all.
        """
        await run_together(self._open(records), self._fetch_all(), self._compare(), self._send_all())
        return self._result

    async def _open(self, records: Iterator[Record]) -> None:
        """Make rows of records, in order; a row waits for the one before it with the same id."""
        async with aclosing(feed(records)) as incoming:
            async for record in incoming:
                try:
                    row = open_row(record, self._mapping, self._image_separator, self._decimal_mark)
                except InvalidRequestError as error:
                    self._count(record, REJECTED, str(error))
                    continue
                row.after = self._last.get(row.product_id)
                self._last[row.product_id] = row
                await self._opened.put(row)
        for _ in range(self._settings.photo_readers):
            await self._opened.put(None)

    async def _fetch_all(self) -> None:
        await run_together(*(self._fetch() for _ in range(self._settings.photo_readers)))
        await self._ready.put(None)

    async def _fetch(self) -> None:
        """Get the photos of rows."""
        while (row := await self._opened.get()) is not None:
            if row.after is not None:
                await row.after.done.wait()
                row.after = None
            photos: list[bytes] = []
            try:
                for reference in row.references:
                    photos.append(await read_photo(reference, self._downloader))
                    check_photos(row.product_id, [len(photo) for photo in photos])
            except (InvalidRequestError, UnavailableError) as error:
                await self._settle(row, REJECTED, str(error))
                continue
            row.photos = [photo for photo in photos if photo]
            await self._budget.acquire(row.bytes)
            row.content_hash = content_hash(row.product, row.photos, row.text)
            await self._ready.put(row)

    async def _compare(self) -> None:
        """Leave out the rows that the server holds as they are."""
        while (first := await self._ready.get()) is not None:
            rows = gathered(self._ready, first, self._settings.hash_batch)
            held = await self._held(rows) if self._settings.compare else {}
            for row in rows:
                if held.get(row.product_id) == row.content_hash:
                    await self._settle(row, UNCHANGED)
                else:
                    await self._changed.put(row)
        for _ in range(self._settings.concurrency):
            await self._changed.put(None)

    async def _held(self, rows: Sequence[Row]) -> Mapping[str, str]:
        for attempt in itertools.count(1):
            try:
                held = await self._server.hashes([row.product_id for row in rows])
                break
            except UnavailableError as error:
                await self._wait_for_server(attempt, error)
        self._patience.answered()
        return held

    async def _send_all(self) -> None:
        await run_together(*(self._send() for _ in range(self._settings.concurrency)))

    async def _send(self) -> None:
        """Send rows in batches, when the window lets one through."""
        while (first := await self._changed.get()) is not None:
            ticket = await self._window.acquire()
            await self._deliver(gathered(self._changed, first, self._settings.batch_size, BATCH_BYTES), ticket)

    async def _deliver(self, rows: Sequence[Row], ticket: int | None = None) -> None:
        """Send rows until each is settled; where one of several is refused, each is sent by itself."""
        if sum(row.request_rows for row in rows) > limits.MAX_BATCH_SIZE:
            middle = len(rows) // 2  # of two at least: one product's photos fit a request
            await self._deliver(rows[:middle], ticket)
            await self._deliver(rows[middle:])
            return
        try:
            receipts = await self._ask(rows, ticket)
        except (NotFoundError, ConfigError):
            raise  # the model itself is not there, or what answers is no such server
        except ProductMatchError as error:
            if self._patience.exhausted():
                raise
            if len(rows) == 1:
                await self._settle(rows[0], REJECTED, str(error))
            else:
                for row in rows:
                    await self._deliver([row])
        else:
            for row, receipt in zip(rows, receipts, strict=True):
                await self._settle(row, receipt.status)

    async def _ask(self, rows: Sequence[Row], ticket: int | None) -> Sequence[Receipt]:
        """Send one request until the server answers it.

        Raises:
            UnavailableError: It does not, for as long as the settings allow.
            ProductMatchError: It refuses, or fails several times.
        """
        request = [ProductRow(product=row.product, image=row.photos, text=row.text) for row in rows]
        started = self._patience.now()
        for attempt in itertools.count(1):
            if ticket is None:
                ticket = await self._window.acquire()
            try:
                receipts = await self._server.index_batch(request, wait=self._settings.wait)
                break
            except UnavailableError as error:
                self._window.overloaded(ticket)
                stuck = self._patience.now() - started > self._settings.give_up_after_s
                if stuck and not self._patience.exhausted():
                    raise  # others are answered, so it is these rows
                await self._wait_for_server(attempt, error)
            except ConfigError:
                raise
            except ProductMatchError as error:
                self._window.succeeded()
                self._patience.answered()
                refused = isinstance(error, InvalidRequestError | NotFoundError)
                if refused or len(rows) > 1 or attempt >= INTERNAL_ATTEMPTS:
                    raise
                await self._sleep(backoff_s(attempt, random.random()))
            self._result.retries += 1
            ticket = None
        self._window.succeeded()
        self._patience.answered()
        return receipts

    async def _wait_for_server(self, attempt: int, error: UnavailableError) -> None:
        if self._patience.exhausted():
            raise self._patience.given_up(error) from error
        logger.info("attempt %d: %s", attempt, error)
        self._listener.waiting(str(error))
        await self._sleep(backoff_s(attempt, random.random()))

    async def _settle(self, row: Row, status: str, reason: str = "") -> None:
        await self._budget.release(row.bytes)
        row.photos = []
        if self._last.get(row.product_id) is row:
            del self._last[row.product_id]
        row.done.set()
        self._count(row.record, status, reason)

    def _count(self, record: Record, status: str, reason: str) -> None:
        self._result.counts[status] += 1
        self._listener.settled(record, status, reason)


def gathered(queue: asyncio.Queue[Row | None], first: Row, most: int, most_bytes: int | None = None) -> list[Row]:
    """Return a row and those that wait behind it, until they have `most` photos.

    A full batch is not waited for: while the server is busy rows gather, and batches fill by themselves.
    """
    rows, photos, size = [first], first.request_rows, first.bytes
    while photos < most and (most_bytes is None or size < most_bytes) and not queue.empty():
        row = queue.get_nowait()
        if row is None:
            queue.put_nowait(None)  # for whoever asks next, who then finds the end
            break
        rows.append(row)
        photos += row.request_rows
        size += row.bytes
    return rows
