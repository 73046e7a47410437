"""Carries what a child process says, line by line, to its log in another form."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import IO, Final

_END_WAIT_S: Final = 5.0


class LogPump:
    """Reads a pipe to its end, in a thread: a pipe that nobody reads would hold up whoever writes into it."""

    def __init__(self, lines: IO[bytes], log: IO[bytes], form: Callable[[str], str]) -> None:
        """Write each of `lines` to `log` as `form` returns it; both are closed at the end."""
        self._lines, self._log, self._form = lines, log, form
        self._thread = threading.Thread(target=self._run, name="log-pump", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until all that was said is written; the process has ended."""
        self._thread.join(_END_WAIT_S)

    def _run(self) -> None:
        with self._lines, self._log:
            for line in self._lines:
                # A full disk is no reason to let the process wait: what cannot be written is lost.
                with contextlib.suppress(OSError):
                    self._log.write(self._form(line.decode("utf-8", "replace")).encode() + b"\n")
                    self._log.flush()
