"""Makes a Python backend process ready: its log goes to Triton's, and it ends with Triton."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Final, NoReturn

from product_match.triton.logs import forward_logs

POLL_S: Final = 0.5
GIVEN_UP: Final = 75
"""Exit code of a process that Triton has given up."""


def prepare_process(pb_utils: Any) -> None:
    """Send log records to Triton's log, and end this process when Triton is gone."""
    forward_logs(pb_utils)
    end_with_parent()


def end_with_parent() -> None:
    """End this process when its parent is killed.

    The backend's own watch waits for a lock in shared memory, which a Triton that was killed may have held: such a
    process stayed for ever, with the vector index locked. PR_SET_PDEATHSIG is no way out, as it goes by the thread
    that started the process, and Triton's loading threads end early.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(POLL_S)
    # Nothing is left to answer to; whatever was being written is as safe as after a kill.
    os._exit(1)


def end_given_up(model: str) -> NoReturn:
    """End this process at once, unanswered; whoever looks after Triton starts both again."""
    # Not through Triton's log: that would wait for the Triton that has given this process up.
    sys.stderr.write(
        f"{model}: Triton took this process for dead, as it got no time for a second, and has failed its requests; "
        "the process ends, so that no other request gets their answers\n"
    )
    sys.stderr.flush()
    os._exit(GIVEN_UP)
