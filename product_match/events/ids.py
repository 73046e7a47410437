"""Names of events: they sort by the time of the event, those of one process in its order."""

from __future__ import annotations

import itertools
import secrets
import time

_TIME_DIGITS = 12
_COUNTED = 0x10000
_RANDOM_BYTES = 4
_counter = itertools.count()


def event_id(now: float | None = None) -> str:
    """Return a new name for what happens now, or at `now`, in seconds since 1970."""
    moment = earliest_id(time.time() if now is None else now)
    return f"{moment}{next(_counter) % _COUNTED:04x}{secrets.token_hex(_RANDOM_BYTES)}"


def earliest_id(moment: float) -> str:
    """Return what every name from `moment` on sorts behind, or is equal to."""
    return f"{max(0, int(moment * 1000)):0{_TIME_DIGITS}x}"


def time_of(name: str) -> float:
    """Return the time that a name was made for, in seconds since 1970."""
    return int(name[:_TIME_DIGITS], 16) / 1000
