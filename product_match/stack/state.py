"""The state directory: one server at a time, one encoder, and everything that a server writes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import ConfigError, StackError
from product_match.host.json_files import read_json, write_json
from product_match.host.locks import try_lock
from product_match.host.platforms import SHARED_MEMORY
from product_match.host.processes import process_alive, processes_with_open, wait_until_gone
from product_match.host.state_layout import ENDPOINTS_FILE, StateLayout

logger = logging.getLogger(__name__)

LOCK_FILE: Final = "lock"
_ORPHAN_WAIT_S: Final = 3.0
_WRITE_WAIT_S: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where a running stack answers; `endpoints.json` holds the same for clients."""

    http: str
    grpc: str
    metrics: str
    mongodb: str
    encoder: str
    pid: int


class StateDirectory(StateLayout):
    """What one server keeps on disk, and the lock that keeps a second one out."""

    def __init__(self, path: Path) -> None:
        """Use `path`, which `lock` makes."""
        super().__init__(path)
        self._lock: int | None = None

    @property
    def lock_descriptor(self) -> int:
        """Descriptor that every child inherits, so that the lock outlives a killed parent as long as they do."""
        if self._lock is None:
            raise StackError(f"the state directory {self.path} is not locked; call lock() first")
        return self._lock

    def lock(self) -> None:
        """Take the directory, making it if needed, and clear what a killed server left behind.

        Raises:
            ConfigError: The directory cannot be made or written.
            StackError: Another server is using it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the state directory {self.path} cannot be used ({error.strerror}); give another with --state-dir"
            ) from error
        if not (try_lock(descriptor) or self._outlive_orphans(descriptor)):
            os.close(descriptor)
            raise StackError(self._describe_holder())
        self._lock = descriptor
        self._write_holder({})
        self.clear_leftovers()
        for directory in (self.logs, self.documents, self.index):
            directory.mkdir(mode=0o700, exist_ok=True)

    def announce(self, endpoints: Endpoints) -> None:
        """Write where the server answers, for clients and for a second server's message."""
        self._write_holder(asdict(endpoints))
        write_json(self.path / ENDPOINTS_FILE, asdict(endpoints))

    def release(self) -> None:
        """Give the directory back."""
        if self._lock is None:
            return
        self.clear_leftovers()
        os.ftruncate(self._lock, 0)
        os.close(self._lock)
        self._lock = None

    def _outlive_orphans(self, descriptor: int) -> bool:
        """Take the lock from children that outlived their killed parent; they hold the same lock."""
        deadline = time.monotonic() + _ORPHAN_WAIT_S
        while self._holder_is_dead():
            orphans = self._lock_holders()
            for pid in orphans:
                logger.warning("process %s outlived its server and is killed", pid)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            wait_until_gone(orphans, timeout_s=1.0)
            if try_lock(descriptor):
                return True
            if time.monotonic() > deadline:
                return False
        return False

    def _holder_is_dead(self) -> bool:
        """Say whether the process written in the lock is gone; one that has just locked is given time to write."""
        first = self._read_holder().get("pid")
        if first is not None and process_alive(int(first)):
            return False
        time.sleep(_WRITE_WAIT_S)
        second = self._read_holder().get("pid")
        return second is not None and first == second and not process_alive(int(second))

    def _lock_holders(self) -> list[int]:
        """Return the processes, this one aside, that have the lock file open."""
        return processes_with_open(self.path / LOCK_FILE)

    def clear_leftovers(self) -> None:
        """Remove what only a running server needs, and what a killed one left: shared memory, socket, endpoints."""
        self.clear_shared_memory()
        sockets = [*self.path.glob("owner*.sock")]
        elsewhere = self.socket_elsewhere("owner*.sock")
        sockets += elsewhere.parent.glob(elsewhere.name)
        for file in (*sockets, self.path / ENDPOINTS_FILE):
            file.unlink(missing_ok=True)

    def clear_shared_memory(self) -> None:
        """Remove the shared memory of models' processes that were killed; call it while none runs."""
        for leftover in SHARED_MEMORY.glob(self.shared_memory_prefix + "*"):
            leftover.unlink(missing_ok=True)

    def _describe_holder(self) -> str:
        holder = self._read_holder()
        where = ", ".join(f"{name} {holder[name]}" for name in ("http", "grpc", "metrics") if name in holder)
        who = f"process {holder['pid']}" if "pid" in holder else f"process {self._lock_holders() or 'unknown'}"
        return (
            f"another server is using the state directory {self.path}: {who}"
            f"{f', which answers on {where}' if where else ', which is still starting'}; "
            "use that one, stop it, or give another directory with --state-dir"
        )

    def _read_holder(self) -> dict[str, Any]:
        return read_json(self.path / LOCK_FILE)

    def _write_holder(self, fields: dict[str, Any]) -> None:
        """Write who holds the lock into the lock file itself; it must stay the same file."""
        text = json.dumps({"pid": os.getpid(), **fields}).encode()
        os.ftruncate(self.lock_descriptor, 0)
        os.pwrite(self.lock_descriptor, text, 0)
