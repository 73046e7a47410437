"""Becomes the command it is given, after tying its life to the process that started it.

Run by path, as `python -I -S launcher.py PARENT_PID COMMAND...`. The kernel sends SIGKILL to a process that asked for
it (PR_SET_PDEATHSIG) when its parent dies, however the parent dies, and the request survives `execve`. A separate
program does it rather than `preexec_fn`, which forks without `exec` at once and is unsafe beside gRPC's threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Ask for SIGKILL on the parent's death, then become the command.

    Args:
        arguments: The parent's process id, then the command.

    Returns:
        Only on failure: 1 if the parent is gone or the command cannot run.
    """
    parent, command = int(arguments[0]), arguments[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.stderr.write(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}\n")
        return 1
    # The parent may have died before the request was in place; then no signal will ever come.
    if os.getppid() != parent:
        return 1
    try:
        os.execvpe(command[0], command, os.environ)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
