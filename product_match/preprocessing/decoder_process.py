"""Decodes photos that are large, or whose decoders a broken file may harm, in a process that can be ended.

    python -m product_match.preprocessing.decoder_process GEOMETRY

One photo at a time, over standard input and output, each message with its length in front (8 bytes, big endian):

    in   the encoded photo
    out  `P` and the pixels, or `E` and the message of the InvalidRequestError

The process's memory is bounded by the system, so a decoder that asks for more is told that there is none.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from pathlib import Path
from typing import BinaryIO, Final

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match.preprocessing.decoding import Decoder
from product_match.preprocessing.formats.recognition import inspect
from product_match.preprocessing.geometry import Geometry

PIXELS: Final = b"P"
REFUSED: Final = b"E"
FAILED: Final = b"F"
LENGTH_BYTES: Final = 8
_NICE: Final = 5
"""A large photo is to wait rather than the many small ones."""
_STATUS: Final = Path("/proc/self/status")


def write_message(stream: BinaryIO, *parts: bytes) -> None:
    """Write a message made of `parts`."""
    stream.write(sum(map(len, parts)).to_bytes(LENGTH_BYTES, "big"))
    stream.writelines(parts)
    stream.flush()


def bound_memory(most: int) -> None:
    """Let this process take `most` bytes more than it has now."""
    held = next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + most,) * 2)


def answer(decoder: Decoder, data: bytes) -> tuple[bytes, bytes]:
    """Return what one photo is answered with."""
    try:
        return PIXELS, decoder.pixels(inspect(data)).tobytes()
    except InvalidRequestError as error:
        return REFUSED, str(error).encode()
    except Exception:
        return FAILED, traceback.format_exc().encode()


def serve(decoder: Decoder, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer photos until no more come."""
    while len(head := requests.read(LENGTH_BYTES)) == LENGTH_BYTES:
        write_message(answers, *answer(decoder, requests.read(int.from_bytes(head, "big"))))


def main() -> None:
    """Serve standard input."""
    decoder = Decoder(Geometry.from_json(sys.argv[1]))
    os.nice(_NICE)
    bound_memory(limits.MAX_DECODER_BYTES)
    # What a library prints must not come between the answers, and what it says of a broken photo not into the log.
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    serve(decoder, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
