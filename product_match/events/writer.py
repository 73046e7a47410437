"""Writes events off the path of requests: they wait in memory, bounded, and a thread stores them in batches."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from product_match.contract.errors import ProductMatchError, unforeseen
from product_match.telemetry.meters import EVENTS

LOGGER = logging.getLogger(__name__)

Event = Mapping[str, Any]

_STORED, _LOGGED, _DROPPED = (EVENTS.labels(result) for result in ("stored", "logged", "dropped"))

MOST_WAITING: Final = 5000
"""Events in memory; what comes while as many wait is dropped, and counted."""

BATCH: Final = 100
"""Events in one call: nx-27017 takes about 40 ms for as many, in which it answers nothing else."""

PAUSE_S: Final = 0.5
"""How long events wait for others to be stored with."""

AWAY_S: Final = 5.0
"""How long a store that was away is left alone; its events go to the log meanwhile."""

SWEEP_S: Final = 60.0
"""How often what has expired is looked for."""

CLOSE_S: Final = 3.0
"""How long the end waits for what is not stored yet."""


class Store(Protocol):
    """The part of `EventStore` that a writer uses."""

    def add_events(self, documents: Sequence[dict[str, Any]]) -> None:
        """Keep events."""

    def remove_expired(self) -> int:
        """Remove what has expired, where the store does not do so by itself."""

    def close(self) -> None:
        """Close the connections."""


@dataclass
class Counts:
    """What became of the events of this process: in the store, in the log because it was away, and dropped."""

    stored: int = 0
    logged: int = 0
    dropped: int = 0


class EventWriter:
    """Stores events from a thread of its own; adding one never waits, whatever the store does."""

    def __init__(
        self, store: Store, *, most_waiting: int = MOST_WAITING, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Store in `store`, with at most `most_waiting` events in memory; `start` begins."""
        self.counts = Counts()
        self._store, self._most, self._clock = store, most_waiting, clock
        self._waiting: deque[Event] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._away_until = float("-inf")
        self._sweep_at = clock() + SWEEP_S
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)

    def start(self) -> None:
        """Begin to store."""
        self._thread.start()

    def add(self, event: Event) -> None:
        """Take an event; where too many wait it is dropped and counted."""
        if len(self._waiting) >= self._most:
            self.counts.dropped += 1
            _DROPPED.inc()
            return
        self._waiting.append(event)

    def close(self) -> None:
        """Store what waits, for a bounded time, and close the store."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        self._store.close()

    def step(self) -> None:
        """Store what waits, and now and then remove what has expired."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._put(batch)
        if self._clock() >= self._sweep_at:
            self._sweep_at = self._clock() + SWEEP_S
            self._sweep()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(PAUSE_S)
            try:
                self.step()
            except Exception:
                unforeseen(LOGGER, "events could not be written")

    def _put(self, batch: list[Event]) -> None:
        if self._clock() < self._away_until:
            self._log(batch)
            return
        try:
            self._store.add_events([dict(event) for event in batch])
        except ProductMatchError as error:
            if not self._is_away:
                LOGGER.warning("events go to this log until their store takes them again: %s", error)
            self._away_until = self._clock() + AWAY_S
            self._log(batch)
            return
        except Exception:
            # One that cannot be stored must not take those beside it along.
            unforeseen(LOGGER, "events could not be stored, and follow here")
            self._log(batch)
            return
        self.counts.stored += len(batch)
        _STORED.inc(len(batch))
        if self._is_away:
            self._away_until = float("-inf")
            LOGGER.warning(
                "events are stored again; so far %d are in this log, and %d were dropped, as too many waited",
                self.counts.logged,
                self.counts.dropped,
            )

    @property
    def _is_away(self) -> bool:
        return self._away_until > float("-inf")

    def _log(self, batch: Sequence[Event]) -> None:
        self.counts.logged += len(batch)
        _LOGGED.inc(len(batch))
        for event in batch:
            LOGGER.info("event %s", json.dumps(event, default=str))

    def _sweep(self) -> None:
        if self._is_away:
            return
        try:
            while self._store.remove_expired():
                pass
        except ProductMatchError as error:
            LOGGER.warning("expired events could not be removed: %s", error)
