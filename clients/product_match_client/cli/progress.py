"""A progress bar on standard error: done, rate, remaining time, failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from product_match_client.cli.output import Console, fitted

BAR_WIDTH: Final = 24
TERMINAL_INTERVAL_S: Final = 0.1
LOG_INTERVAL_S: Final = 10.0


class Progress:
    """Counts what is done, and shows it: redrawn in place at a terminal, a line now and then elsewhere."""

    def __init__(
        self,
        console: Console,
        label: str,
        *,
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start counting.

        Args:
            console: Whose standard error it is shown on.
            label: What is being done.
            total: How many there are, if that is known.
            clock: Seconds; for tests.
        """
        self._stream, self._label, self._clock = console.progress_stream, label, clock
        self._width = console.progress_width
        self._terminal = self._stream.isatty()
        self._started = clock()
        self._drawn = self._started
        self.total = total
        self.done = 0
        self.failed = 0

    def __enter__(self) -> Progress:
        """Show an empty bar."""
        if self._terminal:
            self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show where it ended."""
        self._draw()
        if self._terminal:
            self._stream.write("\n")
        self._stream.flush()

    def advance(self, done: int = 0, failed: int = 0) -> None:
        """Count, and show it unless it was shown just before."""
        self.done += done
        self.failed += failed
        interval = TERMINAL_INTERVAL_S if self._terminal else LOG_INTERVAL_S
        if self._clock() - self._drawn >= interval:
            self._draw()

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        if self._terminal:
            self._stream.write("\r" + " " * (self._width - 1) + "\r")
        self._stream.write(text + "\n")
        self._draw()

    def text(self) -> str:
        """Return the line as it stands."""
        elapsed = max(self._clock() - self._started, 1e-9)
        handled = self.done + self.failed
        rate = handled / elapsed
        parts = [self._label]
        if self.total:
            filled = min(BAR_WIDTH, BAR_WIDTH * handled // self.total)
            parts.append("[" + "#" * filled + "." * (BAR_WIDTH - filled) + "]")
            parts.append(f"{handled:,}/{self.total:,}")
        else:
            parts.append(f"{handled:,}")
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if self.total and 0 < handled < self.total:
            parts.append(f"{duration_text((self.total - handled) / rate)} left")
        else:
            parts.append(duration_text(elapsed))
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return "  ".join(parts)

    def _draw(self) -> None:
        self._drawn = self._clock()
        if self._terminal:
            self._stream.write("\r" + fitted(self.text(), self._width - 1, right=False))
        else:
            self._stream.write(self.text() + "\n")
        self._stream.flush()


def duration_text(seconds: float) -> str:
    """Return a length of time as `7s`, `3m 20s` or `2h 05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"
