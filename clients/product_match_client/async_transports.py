"""The asyncio twins of the transports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Protocol

from tritonclient.utils import InferenceServerException

from product_match_client import endpoints, failures
from product_match_client.credentials import Credentials
from product_match_client.endpoints import Endpoint
from product_match_client.requests import InferRequest
from product_match_client.transports import output_rows, request_inputs, sent_parameters


class AsyncTransport(Protocol):
    """Carries requests to one server, many at a time. Raises only errors of the project's tree."""

    async def infer(self, request: InferRequest) -> Sequence[bytes]:
        """Return the rows of the output that the request names."""

    async def is_ready(self) -> bool:
        """Say whether the server answers and is ready."""

    async def close(self) -> None:
        """Let go of connections."""


class AsyncHttpTransport:
    """Triton's HTTP protocol over one pool of connections, made in the event loop that first uses it."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, connections: int, credentials: Credentials) -> None:
        import aiohttp
        from tritonclient.http import aio

        self._endpoint, self._timeout_s, self._connections = endpoint, timeout_s, connections
        self._credentials = credentials
        self._tritonclient = aio
        self._broken = (OSError, asyncio.TimeoutError, aiohttp.ClientError)
        self._unreadable = aiohttp.ClientResponseError
        self._made: Any = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._made = self._tritonclient.InferenceServerClient(
                self._endpoint.address,
                conn_limit=self._connections,
                conn_timeout=self._timeout_s,
                ssl=self._endpoint.secure,
                ssl_context=self._ssl_context() if self._endpoint.secure else False,
            )
        return self._made

    def _ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._credentials.root_certificates)

    async def infer(self, request: InferRequest) -> Sequence[bytes]:
        """Return the rows of the output that the request names."""
        try:
            result = await self._client.infer(
                request.model,
                request_inputs(self._tritonclient, request),
                headers=self._credentials.headers,
                parameters=sent_parameters(request, self._timeout_s),
            )
        except InferenceServerException as error:
            raise failures.from_server(error, self._endpoint.url) from error
        except self._unreadable as error:
            raise failures.another_protocol(self._endpoint.url) from error
        except self._broken as error:
            raise failures.unreachable(error, self._endpoint.url, self._timeout_s) from error
        return output_rows(result, request)

    async def is_ready(self) -> bool:
        """Say whether the server answers and is ready."""
        try:
            return bool(await self._client.is_server_ready())
        except (InferenceServerException, *self._broken):
            return False

    async def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            await self._made.close()


class AsyncGrpcTransport:
    """Triton's gRPC protocol over one channel, made in the event loop that first uses it."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, credentials: Credentials) -> None:
        from tritonclient.grpc import aio

        self._endpoint, self._timeout_s, self._credentials = endpoint, timeout_s, credentials
        self._tritonclient = aio
        self._made: Any = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._made = self._tritonclient.InferenceServerClient(
                self._endpoint.address,
                ssl=self._endpoint.secure,
                root_certificates=self._credentials.root_certificates,
            )
        return self._made

    async def infer(self, request: InferRequest) -> Sequence[bytes]:
        """Return the rows of the output that the request names."""
        try:
            result = await self._client.infer(
                request.model,
                request_inputs(self._tritonclient, request),
                client_timeout=self._timeout_s,
                headers=self._credentials.headers,
                parameters=sent_parameters(request, self._timeout_s),
            )
        except InferenceServerException as error:
            raise failures.from_server(error, self._endpoint.url) from error
        return output_rows(result, request)

    async def is_ready(self) -> bool:
        """Say whether the server answers and is ready."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=self._timeout_s))
        except InferenceServerException:
            return False

    async def close(self) -> None:
        """Close the channel."""
        if self._made is not None:
            await self._made.close()


def open_async_transport(
    endpoint: Endpoint, timeout_s: float, connections: int, credentials: Credentials
) -> AsyncTransport:
    """Return the transport for an endpoint; nothing is connected yet."""
    if endpoint.protocol is endpoints.Protocol.GRPC:
        return AsyncGrpcTransport(endpoint, timeout_s, credentials)
    return AsyncHttpTransport(endpoint, timeout_s, connections, credentials)
