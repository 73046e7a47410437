"""Whether Triton still waits for what this process is about to answer.

Triton's Python backend gives a model's process up that neither answers nor shows a sign of life for one second;
no setting changes that. Holding it for 1.2 s (SIGSTOP) is enough, as a machine's sleep or a want of cores may be. The
requests then fail, and their memory is used for others. A process that goes on after that answers the next batch with
the answers of this one (seen: the product of one request in the answer to another), and what it reads is torn; soon
Triton or the process crashes. So it has to end before it answers, as if it had been killed.

It can tell by the queue through which Triton sends it batches: Triton sends "done" there once it has an answer, or
has given up, and nothing while it waits. The queue is read in the shared memory, as both sides lay it out
(python_backend, `IPCControlShm` of src/pb_utils.h and `MessageQueueShm` of src/message_queue.h, alike in 24.10 and
26.06).
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from product_match.host.platforms import SHARED_MEMORY
from product_match.host.processes import command_line

LOGGER = logging.getLogger(__name__)

STUB: Final = "triton_python_backend_stub"
_REGION_ARGUMENT: Final = 2
_CONTROL_ARGUMENT: Final = 7
_OWNERSHIP_BYTES: Final = 16
"""What stands before each object in the region."""
_QUEUE_HANDLE: Final = struct.Struct("<q")
_QUEUE_HANDLE_OFFSET: Final = 88
"""After eight bytes of flags and two mutexes of 40 bytes."""
_QUEUE: Final = struct.Struct("<Qqii")
"""Size, handle of the buffer, head, tail."""
_QUEUE_OFFSET: Final = 104
"""After two semaphores of 32 bytes and a mutex."""
_MOST_MESSAGES: Final = 1_000_000
_READ_BYTES: Final = 1024 * 1024
"""The queues are the first things in a region, and each is of some kilobytes."""


class TritonWait:
    """Reads the queue through which Triton sends batches to this process."""

    def __init__(self, region: Path, control: int) -> None:
        """Read a region.

        Args:
            region: The file of the shared memory.
            control: Handle of the control structure in it.

        Raises:
            ValueError: What is there is no queue that Triton waits at.
            OSError: The region cannot be read.
        """
        with region.open("rb") as file:
            length = min(_READ_BYTES, os.fstat(file.fileno()).st_size)
            self._memory = mmap.mmap(file.fileno(), length, prot=mmap.PROT_READ)
        try:
            (queue,) = _QUEUE_HANDLE.unpack_from(self._memory, control + _OWNERSHIP_BYTES + _QUEUE_HANDLE_OFFSET)
            self._queue = queue + _OWNERSHIP_BYTES + _QUEUE_OFFSET
            size, _, head, tail = _QUEUE.unpack_from(self._memory, self._queue)
        except struct.error as error:
            raise ValueError(f"the queue is outside of the first {length} bytes") from error
        if not (0 < size < _MOST_MESSAGES and 0 <= head < size and head == tail):
            raise ValueError(f"size {size}, head {head}, tail {tail} are not those of a queue that was just read")

    def over(self) -> bool:
        """Say whether Triton has given this process up; ask it only while a batch is being answered."""
        _, _, head, tail = _QUEUE.unpack_from(self._memory, self._queue)
        return bool(head != tail)


def triton_wait(command: Sequence[str] | None = None, memory: Path = SHARED_MEMORY) -> TritonWait | None:
    """Return the wait of the Triton that started this process; None where none did, or its memory reads otherwise.

    Args:
        command: The process's command line; None for this one's.
        memory: Where shared memory is.
    """
    given = command_line(os.getpid()) if command is None else command
    if Path(given[0]).name != STUB:
        return None
    try:
        return TritonWait(memory / given[_REGION_ARGUMENT].lstrip("/"), int(given[_CONTROL_ARGUMENT]))
    except (IndexError, ValueError, OSError) as error:
        LOGGER.warning(
            "the memory shared with this Triton is not laid out as expected (%s): if Triton gives this process up, "
            "the process cannot tell",
            error,
        )
        return None
