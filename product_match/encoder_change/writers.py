"""What the processes that write products ask of a change of encoder: may I write, and note that this changes.

While products are embedded anew beside the old ones, the old generation's writers note the ids of what they change,
before they change it, in a file of the state directory (`changes`). At the switch the new generation's writers hold
what comes until `state.json` names their generation.

In production, where no state directory is, none of this is done.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from product_match.contract.errors import StackError, UnavailableError
from product_match.encoder_change.generations import read_generations
from product_match.host.locks import try_lock
from product_match.host.polling import wait_until
from product_match.triton.batches import Answer, BatchRequest

CHANGES_FILE: Final = "changes"
CHANGES_LOCK: Final = "changes.lock"
HELD_S: Final = 20.0
"""Longest that a request is held at the switch."""

_LOCK_POLL_S: Final = 0.002

Service = Callable[[Sequence[BatchRequest]], list[Answer]]


class WriteGate:
    """What one process that writes for a generation asks."""

    def __init__(self, state_directory: Path | None, generation: str, encoder: str) -> None:
        """Ask in `state_directory` for `generation`, which `encoder` serves; None where no encoder can change."""
        self._directory = state_directory
        self._generation = generation
        self._encoder = encoder
        self._open = state_directory is None

    @contextlib.contextmanager
    def changing(self, ids: Sequence[str]) -> Iterator[None]:
        """Change products of these point ids inside this block; they are noted while somebody asks for it."""
        if self._directory is None:
            yield
            return
        descriptor = _open_lock(self._directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            _note(self._directory / CHANGES_FILE, ids)
            yield
        finally:
            os.close(descriptor)

    def wait(self, timeout_s: float = HELD_S) -> None:
        """Return as soon as the catalogue is this generation's; it stays so for as long as the process lives.

        Raises:
            UnavailableError: It is not, after `timeout_s` seconds.
        """
        if not wait_until(self._is_open, timeout_s):
            raise UnavailableError(
                f"the catalogue is being handed over to the encoder {self._encoder}, which took more than "
                f"{timeout_s:g} s; try again"
            )

    def _is_open(self) -> bool:
        if not self._open and self._directory is not None:
            current = read_generations(self._directory).current
            # A new state directory names no generation until its first server is ready.
            self._open = current is None or current.name == self._generation
        return self._open


def held_until_served(service: Service, gate: WriteGate) -> Service:
    """Return a model's service that answers once the catalogue is its generation's; until then requests are held."""

    def answer(requests: Sequence[BatchRequest]) -> list[Answer]:
        try:
            gate.wait()
        except UnavailableError as error:
            return [error] * len(requests)
        return service(requests)

    return answer


class ChangeRecorder:
    """Asks the writers to note what they change, and reads it."""

    def __init__(self, state_directory: Path, timeout_s: float = HELD_S) -> None:
        """Read the notes in `state_directory`, and wait up to `timeout_s` seconds for a change in flight."""
        self._directory = state_directory
        self._timeout_s = timeout_s
        self._read = 0

    def start(self) -> None:
        """Have changes noted; once this returns, none is in flight that is not.

        Raises:
            StackError: A change in flight does not end.
        """
        (self._directory / CHANGES_FILE).write_bytes(b"")
        self._read = 0
        self._wait_for_changes_in_flight()

    def take(self) -> list[str]:
        """Return the point ids that were noted since the last call, each once; EVERYTHING may be among them.

        What is noted is about to change: this returns once it has.

        Raises:
            StackError: A change in flight does not end.
        """
        with (self._directory / CHANGES_FILE).open("rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if not whole:
            return []
        self._wait_for_changes_in_flight()
        self._read += len(whole) + 1
        return list(dict.fromkeys(whole.decode().split("\n")))

    def _wait_for_changes_in_flight(self) -> None:
        descriptor = _open_lock(self._directory)
        try:
            if not wait_until(lambda: try_lock(descriptor), self._timeout_s, poll_s=_LOCK_POLL_S):
                raise StackError(
                    f"a change of products has been going on for {self._timeout_s:g} s; see the logs of the "
                    "document store and Triton, and run the same command again"
                )
        finally:
            os.close(descriptor)


def stop_noting(state_directory: Path) -> None:
    """Have changes noted no longer, whoever asked for it."""
    (state_directory / CHANGES_FILE).unlink(missing_ok=True)


def _open_lock(state_directory: Path) -> int:
    return os.open(state_directory / CHANGES_LOCK, os.O_RDWR | os.O_CREAT, 0o600)


def _note(notes: Path, ids: Sequence[str]) -> None:
    try:
        descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:  # nobody asks
        return
    try:
        os.write(descriptor, "".join(f"{id_}\n" for id_ in ids).encode())
    finally:
        os.close(descriptor)
