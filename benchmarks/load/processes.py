"""What a server costs: CPU time and memory of its processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract.errors import ConfigError

PROC: Final = Path("/proc")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Places in /proc/PID/stat, counted after the name in brackets."""


@dataclass(frozen=True, kw_only=True)
class ProcessUse:
    """One process.

    Attributes:
        name: What it is, for a person: the model of a Triton Python process, else the program.
        cpu_s: CPU time since it started.
        memory_bytes: Proportional set size: shared pages are counted once over all processes.
    """

    name: str
    cpu_s: float
    memory_bytes: int


def process_tree(root: int, proc: Path = PROC) -> list[int]:
    """Return the ids of a process and of all that descend from it.

    Raises:
        ConfigError: There is no such process.
    """
    children: dict[int, list[int]] = {}
    known = set()
    for entry in proc.iterdir():
        if entry.name.isdigit():
            fields = _stat(entry)
            if fields is not None:
                known.add(int(entry.name))
                children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    if root not in known:
        raise ConfigError(f"there is no process {root}; give the pid of the running server")
    found = [root]
    for pid in found:
        found.extend(sorted(children.get(pid, ())))
    return found


def use(pids: Iterable[int], proc: Path = PROC, *, memory: bool = True) -> dict[int, ProcessUse]:
    """Return what each process has used; those that ended meanwhile are left out."""
    found = {}
    for pid in pids:
        entry = proc / str(pid)
        fields = _stat(entry)
        if fields is not None:
            found[pid] = ProcessUse(
                name=_name(entry),
                cpu_s=(int(fields[_USER]) + int(fields[_SYSTEM])) * _TICK_S,
                memory_bytes=_memory(entry) if memory else 0,
            )
    return found


def spent(before: Mapping[int, ProcessUse], after: Mapping[int, ProcessUse]) -> dict[str, float]:
    """Return the CPU seconds between two readings by process name, the largest first."""
    by_name: dict[str, float] = {}
    for pid, now in after.items():
        then = before[pid].cpu_s if pid in before else 0.0
        by_name[now.name] = by_name.get(now.name, 0.0) + now.cpu_s - then
    return dict(sorted(by_name.items(), key=lambda item: -item[1]))


def _stat(entry: Path) -> list[str] | None:
    try:
        text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold blanks and brackets; the last bracket ends it.
    return text.rpartition(")")[2].split()


def _name(entry: Path) -> str:
    try:
        words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        for word in words:
            if word.endswith("/1/model.py"):
                return Path(word).parent.parent.name
        return next(
            (known for known in ("tritonserver", "nx_27017") if any(known in word for word in words)),
            Path(words[0]).name or entry.name,
        )
    except (FileNotFoundError, ProcessLookupError):
        return entry.name


def _memory(entry: Path) -> int:
    try:
        for line in (entry / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return 0
