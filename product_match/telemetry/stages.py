"""The stages of the batch at hand: each is timed for the metrics, and noted for whoever makes spans of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from product_match.telemetry.meters import STAGE_DURATION


@dataclass(frozen=True)
class RecordedStage:
    """One stage that has ended; times are nanoseconds since 1970."""

    name: str
    started_ns: int
    ended_ns: int


_RECORDING: ContextVar[list[RecordedStage] | None] = ContextVar("stages", default=None)


@contextmanager
def recorded_stages() -> Iterator[list[RecordedStage]]:
    """Note the stages that end inside the block, in this thread; yield the list that they are noted in."""
    stages: list[RecordedStage] = []
    token = _RECORDING.set(stages)
    try:
        yield stages
    finally:
        _RECORDING.reset(token)


def note_stage(name: str, seconds: float) -> None:
    """Note that a stage has just ended, where somebody wants to know."""
    stages = _RECORDING.get()
    if stages is not None:
        now = time.time_ns()
        stages.append(RecordedStage(name, now - round(seconds * 1e9), now))


class Stage:
    """A stage by name; several threads may be in it."""

    def __init__(self, name: str) -> None:
        """Time the stage `name`, one of those that the metrics declare."""
        self._name: Final = name
        self._duration = STAGE_DURATION.labels(name)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the time of a block, where it succeeds."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self._duration.observe(seconds)
        note_stage(self._name, seconds)
