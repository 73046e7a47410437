"""The other end of `decoder_process`: hands it photos, ends it when it takes too long, starts it again."""

from __future__ import annotations

import logging
import os
import select
import subprocess
import time
import weakref
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError, ProductMatchError
from product_match.host.interpreter import python_executable, python_path
from product_match.preprocessing.decoder_process import FAILED, LENGTH_BYTES, PIXELS, write_message
from product_match.preprocessing.formats.header import PhotoHeader
from product_match.preprocessing.geometry import Geometry

LOGGER = logging.getLogger(__name__)

MODULE: Final = "product_match.preprocessing.decoder_process"
_READ_BYTES: Final = 1024 * 1024


class _Ended(Exception):  # noqa: N818
    """The process ended before it answered."""


class _Late(Exception):  # noqa: N818
    """The process has not answered in time."""


class DecoderProcess:
    """One process, started with the first photo; used by one thread at a time."""

    def __init__(self, geometry: Geometry, deadline_s: float = limits.MAX_DECODING_S) -> None:
        """Decode for `geometry`; no photo takes longer than `deadline_s`."""
        self._geometry = geometry
        self._deadline_s = deadline_s
        self._process: subprocess.Popen[bytes] | None = None
        self._finalizer: weakref.finalize[..., DecoderProcess] | None = None

    def pixels(self, header: PhotoHeader, data: bytes) -> NDArray[np.uint8]:
        """Return the pixels of one photo, [H, W, 3], sRGB.

        Args:
            header: What was read of it.
            data: The encoded photo.

        Raises:
            InvalidRequestError: It is damaged, takes too long, or ends the process.
            ProductMatchError: The process met what nobody foresaw; its trace is in the log.
        """
        try:
            kind, body = self._asked(data)
        except _Late:
            self.close()
            raise InvalidRequestError(
                f"image: decoding this {header.format} of {header.width} x {header.height} takes longer than "
                f"{self._deadline_s:g} s; scale it down before sending"
            ) from None
        except _Ended:
            self.close()
            LOGGER.warning("the decoder ended over a %s of %d bytes; it is started again", header.format, len(data))
            raise InvalidRequestError(
                f"image: the {header.format} data makes its decoder fail; save it again with an image editor"
            ) from None
        if kind == PIXELS:
            side = self._geometry.side_px
            return np.frombuffer(body, np.uint8).reshape(side, side, 3)
        if kind == FAILED:
            LOGGER.error("a %s could not be decoded: %s", header.format, body.decode(errors="replace"))
            raise ProductMatchError("image: internal error; the server's log has the details")
        raise InvalidRequestError(body.decode())

    def kill(self) -> None:
        """Kill the process, if there is one; whoever waits for it, in another thread, is told at once."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._finalizer is not None:
            self._finalizer()
        self._process = self._finalizer = None

    def _asked(self, data: bytes) -> tuple[bytes, bytes]:
        process = self._running()
        until = time.monotonic() + self._deadline_s
        requests, answers = process.stdin, process.stdout
        if requests is None or answers is None:
            raise _Ended
        try:
            write_message(requests, data)  # type: ignore[arg-type]
        except BrokenPipeError:
            raise _Ended from None
        length = int.from_bytes(_read(answers.fileno(), LENGTH_BYTES, until), "big")
        body = _read(answers.fileno(), length, until)
        return body[:1], body[1:]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [python_executable(), "-m", MODULE, self._geometry.to_json()],
                env={**os.environ, "PYTHONPATH": python_path(), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._finalizer = weakref.finalize(self, _end, self._process)
        return self._process


def _read(descriptor: int, length: int, until: float) -> bytes:
    """Read exactly `length` bytes."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    parts: list[bytes] = []
    while length:
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise _Late
        part = os.read(descriptor, min(length, _READ_BYTES))
        if not part:
            raise _Ended
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:
                # What was not written yet has nobody left to read it.
                continue
