"""What the processes that write products do for a change of encoder: note what they change, and wait for their turn.

While products are embedded anew beside the old ones, the old generation's writers note the ids of what they change,
before they change it, in a file of the state directory (`changes`). At the switch the new generation's writers hold
what comes until the catalogue is theirs, and the old one's are waited for until the last of them has gone. Locks are
the kernel's, so a process that is killed holds none.

In production, where no state directory is, none of this is done.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from product_match.contract.errors import UnavailableError
from product_match.encoder_change.generations import read_generations

CHANGES_FILE: Final = "changes"
CHANGES_LOCK: Final = "changes.lock"
TURN_S: Final = 20.0
"""Longest that a request is held at the switch."""

_POLL_S: Final = 0.02


class ChangeNotes:
    """The ids of the products that change, noted only while somebody has asked for it."""

    def __init__(self, state_directory: Path | None) -> None:
        """Note in `state_directory`; None for nowhere."""
        self._directory = state_directory

    @contextlib.contextmanager
    def changing(self, ids: Sequence[str]) -> Iterator[None]:
        """Change products of these point ids inside this block."""
        if self._directory is None:
            yield
            return
        with _locked(self._directory / CHANGES_LOCK, fcntl.LOCK_SH):
            notes = self._directory / CHANGES_FILE
            if notes.exists():
                _append(notes, "".join(f"{id_}\n" for id_ in ids))
            yield


class ChangeRecorder:
    """Asks the writers to note what they change, and reads it."""

    def __init__(self, state_directory: Path) -> None:
        """Read the notes in `state_directory`."""
        self._directory = state_directory
        self._read = 0

    def start(self) -> None:
        """Have changes noted; once this returns, none is in flight that is not."""
        (self._directory / CHANGES_FILE).write_bytes(b"")
        self._read = 0
        with _locked(self._directory / CHANGES_LOCK, fcntl.LOCK_EX):
            pass

    def take(self) -> list[str]:
        """Return the point ids that were noted since the last call, each once; EVERYTHING may be among them."""
        with (self._directory / CHANGES_FILE).open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._read += len(whole) + 1
        return list(dict.fromkeys(whole.decode().split("\n")))

    def stop(self) -> None:
        """Have changes noted no longer."""
        stop_noting(self._directory)


def stop_noting(state_directory: Path) -> None:
    """Have changes noted no longer, whoever asked for it."""
    (state_directory / CHANGES_FILE).unlink(missing_ok=True)


class Membership:
    """Tells that this process writes for a generation, until `leave` or the process's end."""

    def __init__(self, state_directory: Path | None, generation: str) -> None:
        """Join the writers of `generation`."""
        self._descriptor: int | None = None
        if state_directory is not None:
            self._descriptor = os.open(_members_file(state_directory, generation), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Say that nothing is written any more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def has_left(state_directory: Path, generation: str) -> bool:
    """Say whether no process writes for `generation` any more."""
    descriptor = os.open(_members_file(state_directory, generation), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


class Turn:
    """Says whether the catalogue is a generation's; once it is, it stays so for as long as the process lives."""

    def __init__(self, state_directory: Path | None, generation: str, encoder: str) -> None:
        """Ask for `generation`, which `encoder` serves."""
        self._directory = state_directory
        self._generation = generation
        self._encoder = encoder
        self._come = state_directory is None

    def wait(self, timeout_s: float = TURN_S) -> None:
        """Return as soon as the catalogue is this generation's.

        Raises:
            UnavailableError: It is not, after `timeout_s` seconds.
        """
        give_up = time.monotonic() + timeout_s
        while not self._has_come():
            if time.monotonic() >= give_up:
                raise UnavailableError(
                    f"the catalogue is being handed over to the encoder {self._encoder}, which took more than "
                    f"{timeout_s:g} s; try again"
                )
            time.sleep(_POLL_S)

    def _has_come(self) -> bool:
        if not self._come and self._directory is not None:
            current = read_generations(self._directory).current
            # A new state directory names no generation until its first server is ready.
            self._come = current is None or current.name == self._generation
        return self._come


@contextlib.contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _append(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _members_file(state_directory: Path, generation: str) -> Path:
    return state_directory / f"writers{generation and '-'}{generation}.lock"
