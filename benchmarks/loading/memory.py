"""Peak memory of processes, and the size of directories."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from product_match.host.processes import read_process

SAMPLE_S: Final = 0.5
_PEAK: Final = "VmHWM:"


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has held (resident, pages it shares included); 0 if it is gone."""
    for line in read_process(pid, "status").splitlines():
        if line.startswith(_PEAK):
            return int(line.split()[1]) * 1024
    return 0


class MemoryWatch:
    """Notes the peak of each named process, of those that end meanwhile, too."""

    def __init__(self, processes: Callable[[], Mapping[str, int]]) -> None:
        """Watch what `processes` returns: process ids by name."""
        self._processes = processes
        self._peaks: dict[str, int] = {}
        self._ended = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Watch while the block runs."""
        thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def peaks_mb(self) -> dict[str, float]:
        """Return the peaks so far, in megabytes, the largest first."""
        return {name: round(size / 1e6, 1) for name, size in sorted(self._peaks.items(), key=lambda item: -item[1])}

    def look(self) -> None:
        """Look once."""
        for name, pid in self._processes().items():
            self._peaks[name] = max(self._peaks.get(name, 0), peak_bytes(pid))

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.look()


def disk_mb(directory: Path) -> float:
    """Return what the files under a directory take on disk, in megabytes."""
    blocks = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if not path.is_dir():
                blocks += status.st_blocks
    return round(blocks * 512 / 1e6, 1)
