"""How much is in flight: requests by what the server can take, bytes by what memory may hold."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

FIRST_LIMIT: Final = 4.0


class Window:
    """Requests in flight: one more for each round that succeeds, half as many when the server is too busy."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = min(FIRST_LIMIT, float(most))
        self._in_flight = 0
        self._epoch = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    async def acquire(self) -> int:
        """Wait for a place.

        Returns:
            The ticket to give back.
        """
        while self._in_flight >= self.limit:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            await place
        self._in_flight += 1
        return self._epoch

    def succeeded(self) -> None:
        """Give a place back after an answer."""
        self._limit = min(float(self._most), self._limit + 1 / self._limit)
        self._release()

    def overloaded(self, ticket: int) -> None:
        """Give a place back after the server was busy or away.

        Requests that were sent together fail together, and together they count once.
        """
        if ticket == self._epoch:
            self._limit = max(1.0, self._limit / 2)
            self._epoch += 1
        self._release()

    def _release(self) -> None:
        self._in_flight -= 1
        free = self.limit - self._in_flight
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1


class ByteBudget:
    """Bytes of photos held at a time. One photo larger than the budget passes when nothing else is held."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._freed = asyncio.Condition()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    async def acquire(self, size: int) -> None:
        """Wait until `size` more bytes may be held."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._held == 0 or self._held + size <= self._most)
            self._held += size

    async def release(self, size: int) -> None:
        """Let go of bytes."""
        async with self._freed:
            self._held -= size
            self._freed.notify_all()
