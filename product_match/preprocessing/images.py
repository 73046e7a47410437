"""Photos: from encoded bytes to the UINT8 pixels that the image encoder takes.

A photo's container is read first: what is no photo, not whole, or more than a photo may be is refused there. What is
left is light, and decoded at once, or large or at risk, and decoded by a process that can be ended: it holds up no
other.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from product_match.contract import limits
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import InvalidRequestError, ProductMatchError, UnavailableError, unforeseen
from product_match.preprocessing.decoding import Decoder
from product_match.preprocessing.formats.header import PhotoHeader
from product_match.preprocessing.formats.recognition import inspect
from product_match.preprocessing.geometry import Geometry
from product_match.preprocessing.isolation import DecoderProcess
from product_match.telemetry.stages import Stage

LOGGER = logging.getLogger(__name__)

Pixels = NDArray[np.uint8] | ProductMatchError
"""The pixels of a photo, [H, W, 3], sRGB, 0 to 255, or what is wrong with it."""

_MAX_MEDIA_TYPE_BYTES: Final = 100
_LARGE_AT_ONCE: Final = 2
"""Processes for large photos."""
_ENDING: Final = "image: the server is about to end; send this one again in a moment"
_BUSY: Final = "image: the server is busy with other large photos; send this one again in a moment, or scaled down"


class ImagePreprocessor:
    """Decodes, turns upright, resizes and crops photos for one encoder."""

    def __init__(self, encoder: EncoderSpec, threads: int = 2) -> None:
        """Prepare for `encoder`; `threads` light photos are decoded at once (the decoders release the GIL)."""
        self._geometry = Geometry.of(encoder)
        self._decoder = Decoder(self._geometry)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode") if threads > 1 else None
        self._large = _LargePhotos(self._geometry)
        self._stage = Stage("decode")

    def preprocess(self, rows: Sequence[bytes]) -> list[Pixels]:
        """Preprocess several photos, and wait for the large ones.

        Args:
            rows: Encoded photos.

        Returns:
            For each row its pixels, or the error that says what is wrong with it.
        """
        return [row.result() if isinstance(row, Future) else row for row in self.begin(rows)]

    def begin(self, rows: Sequence[bytes], wait_s: float = float("inf")) -> list[Pixels | Future[Pixels]]:
        """Preprocess the light ones of several photos, and begin with the large ones.

        Args:
            rows: Encoded photos.
            wait_s: A large photo whose turn has not come by then is refused as UNAVAILABLE.
        """
        with self._stage.timed():
            if self._pool is None or len(rows) < 2:
                return [self._begun(row, wait_s) for row in rows]
            return list(self._pool.map(lambda row: self._begun(row, wait_s), rows))

    def close(self) -> None:
        """End the decoding threads and processes."""
        if self._pool is not None:
            self._pool.shutdown()
        self._large.close()

    def pixels(self, data: bytes) -> NDArray[np.uint8]:
        """Return the pixels of one photo, [H, W, 3], sRGB, 0 to 255.

        Args:
            data: An encoded photo, or a data URL (`data:image/jpeg;base64,...`) of one.

        Raises:
            InvalidRequestError: Not a photo that can be read, too large, too small, or damaged.
        """
        data = _checked(data)
        header = inspect(data)
        if header.light:
            return self._decoder.pixels(header)
        result = self._large.begin(header, data, float("inf")).result()
        if isinstance(result, ProductMatchError):
            raise result
        return result

    def _begun(self, row: bytes, wait_s: float) -> Pixels | Future[Pixels]:
        try:
            data = _checked(row)
            header = inspect(data)
            if header.light:
                return self._decoder.pixels(header)
            return self._large.begin(header, data, wait_s)
        except ProductMatchError as error:
            return error
        except Exception:
            return unforeseen(LOGGER, "a photo could not be read")


class _LargePhotos:
    """Decodes large photos, each in a process that is ended when it takes too long."""

    def __init__(self, geometry: Geometry) -> None:
        self._pool = ThreadPoolExecutor(_LARGE_AT_ONCE, thread_name_prefix="decode-large")
        self._processes = [DecoderProcess(geometry) for _ in range(_LARGE_AT_ONCE)]
        self._idle = list(self._processes)
        self._ending = False
        self._lock = threading.Lock()
        self._held_bytes = 0
        self._stage = Stage("decode_large")

    def begin(self, header: PhotoHeader, data: bytes, wait_s: float) -> Future[Pixels]:
        """Begin with a photo.

        Raises:
            UnavailableError: So many wait that holding this one too would take too much memory.
        """
        with self._lock:
            if math.isfinite(wait_s) and self._held_bytes + len(data) > limits.MAX_LARGE_IMAGES_BYTES:
                raise UnavailableError(f"{_BUSY} ({self._held_bytes:,} bytes of them wait)")
            self._held_bytes += len(data)
        # The file goes to the process as it came; what was read of it is not held twice.
        facts = dataclasses.replace(header, data=b"", profile=b"")
        return self._pool.submit(self._decoded, facts, data, time.monotonic() + wait_s)

    def close(self) -> None:
        # Whoever still waits is told now, not when the last photo is decoded.
        self._ending = True
        for process in self._processes:
            process.kill()
        self._pool.shutdown()
        for process in self._processes:
            process.close()

    def _decoded(self, header: PhotoHeader, data: bytes, until: float) -> Pixels:
        with self._lock:
            process = self._idle.pop()
        try:
            if self._ending:
                return UnavailableError(_ENDING)
            if time.monotonic() > until:
                return UnavailableError(_BUSY)
            with self._stage.timed():
                return process.pixels(header, data)
        except ProductMatchError as error:
            return UnavailableError(_ENDING) if self._ending else error
        except Exception:
            return unforeseen(LOGGER, "a large photo could not be read")
        finally:
            with self._lock:
                self._idle.append(process)
                self._held_bytes -= len(data)


def _checked(data: bytes) -> bytes:
    """Return the encoded photo itself, which is not empty and not too long."""
    data = _from_data_url(data)
    if not data:
        raise InvalidRequestError("image: expected an encoded photo, got 0 bytes; send a JPEG, PNG, WebP or GIF file")
    if len(data) > limits.MAX_IMAGE_BYTES:
        raise InvalidRequestError(
            f"image: {len(data):,} bytes, the limit is {limits.MAX_IMAGE_BYTES:,}; "
            "send a smaller or more compressed file"
        )
    return data


def _from_data_url(data: bytes) -> bytes:
    """Decode a data URL, which is how a photo travels in JSON; anything else is returned as it is."""
    if not data.startswith(b"data:"):
        return data
    head, found, body = data.partition(b";base64,")
    if not found or len(head) > _MAX_MEDIA_TYPE_BYTES:
        raise InvalidRequestError("image: a data URL without `;base64,`; send `data:image/jpeg;base64,...`")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:
        raise InvalidRequestError(
            f"image: the data URL's base64 is damaged ({error}); encode the file again"
        ) from error
