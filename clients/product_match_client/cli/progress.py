"""A progress bar on standard error: done, rate, remaining time, failures."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from rich.live import Live
from rich.text import Text

from product_match_client.cli.output import Console

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
        self._console, self._label, self._clock = console.progress, label, clock
        self._started = clock()
        self._drawn = self._started
        self.total = total
        self.done = 0
        self.failed = 0
        self._bar = Live(
            console=self._console,
            auto_refresh=False,
            get_renderable=lambda: Text(self.text(), no_wrap=True, overflow="ellipsis"),
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Progress:
        """Show an empty bar."""
        if self._console.is_terminal:
            self._bar.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show where it ended."""
        if self._console.is_terminal:
            self._bar.stop()
        else:
            self._draw()

    def advance(self, done: int = 0, failed: int = 0) -> None:
        """Count, and show it unless it was shown just before."""
        self.done += done
        self.failed += failed
        interval = TERMINAL_INTERVAL_S if self._console.is_terminal else LOG_INTERVAL_S
        if self._clock() - self._drawn >= interval:
            self._draw()

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._console.print(text, soft_wrap=True)
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
        if self._console.is_terminal:
            self._bar.refresh()
        else:
            self._console.print(self.text(), soft_wrap=True)


def duration_text(seconds: float) -> str:
    """Return a length of time as `7s`, `3m 20s` or `2h 05m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02}m"
