"""The two kinds of load: a closed loop of so many in flight, and an open loop of so many a second."""

from __future__ import annotations

import asyncio
import gc
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.load.lanes import Lane, Lanes
from benchmarks.load.messages import Message

MOST_LANES: Final = 256
"""Requests that an open loop has in flight at most; later ones wait, and the wait counts."""


@dataclass(kw_only=True)
class Measured:
    """What one loop saw.

    Attributes:
        latencies_s: Of each request that succeeded; in an open loop from the time it was due.
        errors: Requests that failed, or were not answered in time.
        seconds: From the first request until the last answer.
        sent_bytes: Of all requests.
        received_bytes: Of all answers.
        moments: Of each request, when it was due, in seconds from the start, and its latency; None where it failed.
    """

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    seconds: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    moments: list[tuple[float, float | None]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Requests that were sent."""
        return len(self.latencies_s) + self.errors


class _Loop(ABC):
    """What both loops share: sending one request and noting what came back."""

    def __init__(self, message: Message, first: int) -> None:
        self.measured = Measured()
        self.in_flight = 0
        self.idle = asyncio.Event()
        self.started = time.perf_counter()
        self._message = message
        self._next = first
        self._over = False

    def send(self, lane: Lane, due: float | None = None) -> None:
        """Send the next request; `due` is when it should have started, if not now."""
        message = self._message(self._next)
        self._next += 1
        self.in_flight += 1
        self.measured.sent_bytes += len(message)
        start = time.perf_counter() if due is None else due

        def done(success: bool, size: int) -> None:
            if self._over:
                return
            now = time.perf_counter()
            self.measured.moments.append((start - self.started, now - start if success else None))
            if success:
                self.measured.latencies_s.append(now - start)
                self.measured.received_bytes += size
            else:
                self.measured.errors += 1
            self.in_flight -= 1
            self.measured.seconds = now - self.started
            self.answered(lane, success)
            if not self.in_flight:
                self.idle.set()

        lane.send(message, done)

    @abstractmethod
    def answered(self, lane: Lane, success: bool) -> None:
        """Do what comes after an answer."""

    async def drained(self, timeout_s: float) -> None:
        """Wait until nothing is in flight; what is not answered in time counts as failed."""
        try:
            await asyncio.wait_for(self.idle.wait(), timeout_s)
        except asyncio.TimeoutError:
            self.measured.errors += self.in_flight
        # Closing the lanes tells requests under way as failed; they have been counted.
        self._over = True


class _ClosedLoop(_Loop):
    def __init__(self, message: Message, first: int, seconds: float, most: int) -> None:
        super().__init__(message, first)
        self._end = self.started + seconds
        self._left = most

    def start(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes[: self._left]:
            self._left -= 1
            self.send(lane)

    def answered(self, lane: Lane, success: bool) -> None:
        # A lane that failed rests, so that a dead server is not asked in a tight loop.
        if success and self._left > 0 and time.perf_counter() < self._end:
            self._left -= 1
            self.send(lane)


class _OpenLoop(_Loop):
    def __init__(self, message: Message, first: int, lanes: Sequence[Lane]) -> None:
        super().__init__(message, first)
        self._free = deque(lanes)
        self._waiting: deque[float] = deque()

    async def run(self, schedule: Sequence[float]) -> None:
        for moment in schedule:
            due = self.started + moment
            rest = due - time.perf_counter()
            if rest > 0:
                await asyncio.sleep(rest)
            self.idle.clear()
            if self._free:
                self.send(self._free.pop(), due)
            else:
                self._waiting.append(due)

    def answered(self, lane: Lane, success: bool) -> None:
        # A server that refuses goes on being asked; a connection that broke is not mended.
        if not success and not lane.usable:
            return
        if self._waiting:
            self.send(lane, self._waiting.popleft())
        else:
            self._free.append(lane)


async def closed_loop(
    lanes: Lanes, message: Message, *, concurrency: int, seconds: float, most: int, first: int = 0, timeout_s: float
) -> Measured:
    """Keep `concurrency` requests in flight until the time or the count is used up.

    Args:
        lanes: To the server.
        message: The bytes of request n.
        concurrency: Requests in flight.
        seconds: No request starts later.
        most: Requests at most.
        first: Number of the first request.
        timeout_s: Longest wait for the last answers.
    """
    opened = [await lanes.lane() for _ in range(concurrency)]
    with _quiet():
        loop = _ClosedLoop(message, first, seconds, most)
        loop.start(opened)
        await loop.drained(seconds + timeout_s)
    return loop.measured


async def open_loop(
    lanes: Lanes, message: Message, *, schedule: Sequence[float], first: int = 0, timeout_s: float
) -> Measured:
    """Send requests at the times of `schedule`, whether or not earlier ones are answered.

    Latency counts from the time a request was due, so a server that falls behind cannot hide it.
    """
    opened = [await lanes.lane() for _ in range(min(MOST_LANES, max(1, len(schedule))))]
    with _quiet():
        loop = _OpenLoop(message, first, opened)
        await loop.run(schedule)
        await loop.drained(timeout_s)
    return loop.measured


class _quiet:  # noqa: N801  reads as a statement
    """Keeps the garbage collector still, whose pauses would count as latency."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
