"""Child processes that log to a file, die with their parent and stop within a bounded time."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from product_match.contract.errors import StackError
from product_match.host import logs
from product_match.host.log_pump import LogPump
from product_match.host.polling import wait_until

logger = logging.getLogger(__name__)

PROC: Final = Path("/proc")
LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_KILL_WAIT_S: Final = 5.0


class ChildProcess:
    """One process of the stack.

    Start it from a thread that lives as long as the program: the kernel takes the end of the starting thread for the
    death of the parent.
    """

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path | None = None,
        log_form: Callable[[str], str] | None = None,
    ) -> None:
        """Describe a process.

        Args:
            name: For messages.
            command: What to run.
            environment: Its variables.
            log_file: Where it logs; without one it writes where this process does, as in a container.
            log_form: Makes each line of its log another; None leaves them as they are.
        """
        self._log_form = log_form
        self._pump: LogPump | None = None
        self.name = name
        self.log_file = log_file
        self._command = tuple(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def exit_status(self) -> int | None:
        """None while it runs or before the start; negative is the signal that ended it."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        """True between a start and the process's end."""
        return self._process is not None and self._process.poll() is None

    def start(self, inherit: Sequence[int] = ()) -> None:
        """Start the process, ending the one before, with a fresh log file; the one before is kept as `.1`.

        Args:
            inherit: File descriptors that the process, and what it starts, keep open.

        Raises:
            StackError: The log file cannot be written, or the process cannot be made.
        """
        self.stop(grace_s=0.0)
        try:
            with self._open_log() as log:
                # A session of its own keeps the terminal's Ctrl-C away: the parent stops its children in order.
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *self._command],
                    stdin=subprocess.DEVNULL,
                    stdout=log if self._log_form is None else subprocess.PIPE,
                    stderr=subprocess.STDOUT if log or self._log_form else None,
                    env=self._environment,
                    pass_fds=tuple(inherit),
                    start_new_session=True,
                )
                if self._log_form is not None and self._process.stdout is not None:
                    self._pump = LogPump(self._process.stdout, _kept_open(log), self._log_form)
        except OSError as error:
            raise StackError(f"{self.name} cannot be started: {error}; see whether the disk is full") from error
        logger.info("%s started, process %s, log %s", self.name, self._process.pid, self.log_file or "here")

    def stop(self, grace_s: float) -> None:
        """End the process: SIGTERM, then SIGKILL to it and all that it started once `grace_s` seconds have passed."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                logger.warning("%s did not stop within %s s and is killed", self.name, grace_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_KILL_WAIT_S)
        self._finish_log()

    def _finish_log(self) -> None:
        if self._pump is not None and not self.running:
            self._pump.finish()

    def describe_end(self) -> str:
        """Say how the process ended, with its log's name and last lines."""
        status = self.exit_status
        how = f"signal {signal.Signals(-status).name}" if status is not None and status < 0 else f"exit code {status}"
        return f"{self.name} ended with {how}; {self.describe_log()}"

    def describe_log(self) -> str:
        """Name the log, with its last lines where it is a file."""
        self._finish_log()
        return logs.describe(self.log_file) if self.log_file is not None else "its log is above"

    def _open_log(self) -> contextlib.AbstractContextManager[IO[bytes] | None]:
        if self.log_file is None:
            return contextlib.nullcontext()
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_name(self.log_file.name + ".1"))
        return self.log_file.open("wb")


def _kept_open(log: IO[bytes] | None) -> IO[bytes]:
    """Return a log of its own for the pump; where there is no file, what this process itself writes to."""
    return os.fdopen(os.dup(sys.stderr.fileno() if log is None else log.fileno()), "wb")


def read_process(pid: int, file: str, proc: Path = PROC) -> str:
    """Return what the kernel says of a process in /proc/PID/FILE; nothing where it is gone, or another user's."""
    try:
        return (proc / str(pid) / file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def process_ids(proc: Path = PROC) -> list[int]:
    """Return the ids of all processes, those of ended ones that nobody has asked after included."""
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()]


def status_fields(pid: int, proc: Path = PROC) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (state, parent, ...); none if it is gone."""
    # The name before them may hold blanks and brackets; the last bracket ends it.
    return read_process(pid, "stat", proc).rpartition(")")[2].split()


def command_line(pid: int, proc: Path = PROC) -> list[str]:
    """Return the words that a process was started with; none where they cannot be read."""
    return read_process(pid, "cmdline", proc).split("\0")


def process_alive(pid: int) -> bool:
    """Say whether a process with this id exists and is not a zombie."""
    fields = status_fields(pid)
    return bool(fields) and fields[0] not in ("Z", "X")


def process_held(pid: int) -> bool:
    """Say whether a process is stopped (SIGSTOP), or by a debugger."""
    return status_fields(pid)[:1] in (["T"], ["t"])


def children_of(pid: int) -> dict[int, list[str]]:
    """Return the command line of each living child of a process."""
    children = [child for child in process_ids() if status_fields(child)[1:2] == [str(pid)]]
    commands = {child: command_line(child) for child in children}
    return {child: command for child, command in commands.items() if command[0]}


def processes_with_open(path: Path, proc: Path = PROC) -> list[int]:
    """Return the processes, this one aside, that have a file open."""
    holders = []
    for pid in process_ids(proc):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if any(str(link.readlink()) == str(path) for link in (proc / str(pid) / "fd").iterdir()):
                holders.append(pid)
    return sorted(set(holders) - {os.getpid()})


def model_of(command: Sequence[str]) -> str:
    """Return the model whose adapter a child of Triton runs: `stub .../NAME/VERSION/model.py ...`.

    Empty for others, such as a child that Triton has just made, which still has Triton's own command line.
    """
    adapter = Path(command[1]) if len(command) > 1 else Path()
    return adapter.parts[-3] if adapter.name == "model.py" else ""


def wait_until_gone(pids: Sequence[int], timeout_s: float) -> bool:
    """Wait until none of the processes is alive; False if the time ran out first."""
    return wait_until(lambda: not any(process_alive(pid) for pid in pids), timeout_s)
