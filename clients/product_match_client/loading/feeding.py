"""Reads records in a thread of its own, so that slow disks, pipes and databases do not hold up the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

T = TypeVar("T")
AHEAD: Final = 256


@dataclass(frozen=True)
class _End:
    """What the thread hands over last: nothing more, or what went wrong."""

    error: BaseException | None = None


class _Handover(Generic[T]):
    """A bounded queue from one thread to one event loop, which wakes the loop once for all that has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[T | _End] = deque()
        self._places = threading.Semaphore(AHEAD)
        self._arrived = asyncio.Event()
        self.stopped = False

    def put(self, item: T | _End) -> None:
        """Hand one item over; waits while the loop is behind."""
        self._places.acquire()
        if self.stopped:
            return
        self._items.append(item)
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop has closed: nobody is left to read
            self.stopped = True

    async def take(self) -> list[T | _End]:
        """Return all that has come; may be nothing."""
        await self._arrived.wait()
        self._arrived.clear()
        taken = [self._items.popleft() for _ in range(len(self._items))]
        if taken:
            self._places.release(len(taken))
        return taken

    def stop(self) -> None:
        """Let the thread end."""
        self.stopped = True
        self._places.release(AHEAD)


async def feed(items: Iterator[T]) -> AsyncGenerator[T, None]:
    """Yield what an iterator gives, from a daemon thread: one that waits at a pipe does not hold the exit."""
    handover: _Handover[T] = _Handover(asyncio.get_running_loop())

    def read() -> None:
        try:
            for item in items:
                handover.put(item)
                if handover.stopped:
                    return
            handover.put(_End())
        except BaseException as error:  # told to the loop, which raises it
            handover.put(_End(error))

    threading.Thread(target=read, name="product-match-reader", daemon=True).start()
    try:
        while True:
            for item in await handover.take():
                if not isinstance(item, _End):
                    yield item
                elif item.error is not None:
                    raise item.error
                else:
                    return
    finally:
        handover.stop()
