"""What a server costs: CPU time and memory of its processes, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract.errors import ConfigError
from product_match.host.processes import PROC, command_line, process_ids, read_process, status_fields

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
    for pid in process_ids(proc):
        if fields := status_fields(pid, proc):
            known.add(pid)
            children.setdefault(int(fields[_PARENT]), []).append(pid)
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
        if fields := status_fields(pid, proc):
            found[pid] = ProcessUse(
                name=_name(pid, proc),
                cpu_s=(int(fields[_USER]) + int(fields[_SYSTEM])) * _TICK_S,
                memory_bytes=_memory(pid, proc) if memory else 0,
            )
    return found


def spent(before: Mapping[int, ProcessUse], after: Mapping[int, ProcessUse]) -> dict[str, float]:
    """Return the CPU seconds between two readings by process name, the largest first."""
    by_name: dict[str, float] = {}
    for pid, now in after.items():
        then = before[pid].cpu_s if pid in before else 0.0
        by_name[now.name] = by_name.get(now.name, 0.0) + now.cpu_s - then
    return dict(sorted(by_name.items(), key=lambda item: -item[1]))


def _name(pid: int, proc: Path) -> str:
    words = command_line(pid, proc)
    for word in words:
        if word.endswith("/1/model.py"):
            return Path(word).parent.parent.name
    known = (name for name in ("tritonserver", "nx_27017") if any(name in word for word in words))
    return next(known, Path(words[0]).name or str(pid))


def _memory(pid: int, proc: Path) -> int:
    for line in read_process(pid, "smaps_rollup", proc).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
