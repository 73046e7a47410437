"""Connections that carry one request at a time, at little cost to the machine they share with the server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final, Protocol

from benchmarks.load.messages import GRPC_METHOD
from product_match.contract.errors import UnavailableError
from product_match_client.endpoints import Endpoint
from product_match_client.endpoints import Protocol as Wire

Done = Callable[[bool, int], None]
"""Told once for each request: whether it succeeded, and how many bytes came back."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SUCCESS: Final = b"HTTP/1.1 200"
_MESSAGE_LIMIT: Final = 64 * 1024 * 1024


class Lane(Protocol):
    """One connection."""

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""

    def send(self, message: bytes, done: Done) -> None:
        """Send a request; only after the one before is done."""

    def close(self) -> None:
        """Close it; a request under way is told as failed."""


class HttpLane(asyncio.Protocol):
    """One kept-alive HTTP connection, without a task or a future for each request."""

    def __init__(self) -> None:
        """Wait for the connection."""
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._expected = 0
        self._done: Done | None = None

    @property
    def usable(self) -> bool:
        """Whether the connection is there."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, message: bytes, done: Done) -> None:
        """Send a request."""
        if self._transport is None:
            done(False, 0)
            return
        self._done = done
        self._transport.write(message)

    def data_received(self, data: bytes) -> None:
        """Collect an answer, and tell when it is whole."""
        self._received += data
        if not self._expected:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._received, 0, end)
            self._expected = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) >= self._expected:
            success, size = self._received.startswith(_SUCCESS), len(self._received)
            self._received.clear()
            self._expected = 0
            self._finish(success, size)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell a request under way as failed."""
        del exc
        self._transport = None
        self._finish(False, 0)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, success: bool, size: int) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(success, size)


class GrpcLane:
    """One stream of a shared channel; messages go out and come in as bytes."""

    def __init__(self, call: Any, timeout_s: float) -> None:
        """Send through `call`, the channel's bound method."""
        self._call = call
        self._timeout_s = timeout_s
        self._task: asyncio.Task[None] | None = None

    @property
    def usable(self) -> bool:
        """Always: the channel connects again."""
        return True

    def send(self, message: bytes, done: Done) -> None:
        """Send a request."""
        self._task = asyncio.get_running_loop().create_task(self._send(message, done))

    def close(self) -> None:
        """Give up a request under way."""
        if self._task is not None:
            self._task.cancel()

    async def _send(self, message: bytes, done: Done) -> None:
        import grpc

        try:
            answer = await self._call(message, timeout=self._timeout_s)
        except grpc.aio.AioRpcError:
            done(False, 0)
        else:
            done(True, len(answer))


class Lanes:
    """Opens lanes to one server, and closes them."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        """Prepare; nothing is connected yet."""
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._open: list[Lane] = []
        self._channels: list[Any] = []

    async def lane(self) -> Lane:
        """Open one more lane.

        Raises:
            UnavailableError: The server takes no connection.
        """
        lane = await (self._http() if self._endpoint.protocol is Wire.HTTP else self._grpc())
        self._open.append(lane)
        return lane

    async def close(self) -> None:
        """Close everything."""
        for lane in self._open:
            lane.close()
        for channel in self._channels:
            await channel.close()

    async def _http(self) -> Lane:
        host, _, port = self._endpoint.address.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            connecting = loop.create_connection(HttpLane, host.strip("[]"), int(port))
            _, lane = await asyncio.wait_for(connecting, self._timeout_s)
        except (OSError, asyncio.TimeoutError) as error:
            raise UnavailableError(
                f"{self._endpoint.url} takes no connection ({error}); check that the server runs"
            ) from error
        return lane

    async def _grpc(self) -> Lane:
        import grpc

        if not self._channels:
            options = [
                ("grpc.max_send_message_length", _MESSAGE_LIMIT),
                ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
            ]
            channel = grpc.aio.insecure_channel(self._endpoint.address, options=options)
            try:
                await asyncio.wait_for(channel.channel_ready(), self._timeout_s)
            except asyncio.TimeoutError as error:
                await channel.close()
                raise UnavailableError(
                    f"{self._endpoint.url} takes no connection; check that the server runs"
                ) from error
            self._channels.append(channel)
        return GrpcLane(self._channels[0].unary_unary(GRPC_METHOD), self._timeout_s)
