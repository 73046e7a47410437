"""Messages between processes: four bytes of length, big-endian, then JSON of that many bytes."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any, Final

from product_match.contract.errors import ProductMatchError

MAX_FRAME_BYTES: Final = 32 * 1024 * 1024

_LENGTH: Final = struct.Struct(">I")


def send_frame(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send one message."""
    data = json.dumps(message, separators=(",", ":")).encode()
    if len(data) > MAX_FRAME_BYTES:
        raise ProductMatchError(
            f"a message of {len(data):,} bytes is longer than {MAX_FRAME_BYTES:,}; ask for less at once"
        )
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive_frame(connection: socket.socket) -> dict[str, Any] | None:
    """Return the next message, or None where the other side has closed the connection.

    Raises:
        ConnectionError: The connection ended within a message.
        ProductMatchError: The message is too long or no JSON object.
    """
    header = _receive(connection, _LENGTH.size)
    if not header:
        return None
    (length,) = _LENGTH.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise ProductMatchError(f"a message announces {length:,} bytes, the limit is {MAX_FRAME_BYTES:,}")
    try:
        message = json.loads(_receive(connection, length))
    except ValueError as error:
        raise ProductMatchError(f"a message is not JSON ({error})") from error
    if not isinstance(message, dict):
        raise ProductMatchError(f"a message must be a JSON object, got {type(message).__name__}")
    return message


def _receive(connection: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        chunk = connection.recv(min(length - len(data), 1 << 20))
        if not chunk:
            if data:
                raise ConnectionError(f"the connection ended after {len(data)} of {length} bytes")
            return b""
        data += chunk
    return bytes(data)
