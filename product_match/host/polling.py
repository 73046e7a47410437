"""Waiting for what nobody tells: look, sleep, look again, until the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(reached: Callable[[], bool], timeout_s: float, *, poll_s: float = 0.02) -> bool:
    """Look until `reached()` is true, at least once.

    Args:
        reached: What to look at.
        timeout_s: Longest wait.
        poll_s: Sleep between two looks.

    Returns:
        False if the time ran out first.
    """
    give_up = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() >= give_up:
            return False
        time.sleep(poll_s)
    return True
