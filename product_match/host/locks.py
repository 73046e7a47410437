"""Locks of the kernel on files: a process that is killed holds none."""

from __future__ import annotations

import fcntl


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file for this process alone; False where another holds it.

    The lock goes with the last descriptor of that opening, so a child that inherits one holds it too.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
