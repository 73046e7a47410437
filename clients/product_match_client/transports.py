"""How a request travels: HTTP and gRPC by tritonclient, behind one small interface that tests can stand in for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from product_match.contract.errors import ProductMatchError
from product_match.contract.options import DEADLINE
from product_match.contract.tensors import Dtype
from product_match_client import endpoints, failures
from product_match_client.credentials import Credentials
from product_match_client.endpoints import Endpoint
from product_match_client.requests import InferRequest


class Transport(Protocol):
    """Carries requests to one server. Raises only errors of the project's tree."""

    def infer(self, request: InferRequest) -> Sequence[bytes]:
        """Return the rows of the output that the request names."""

    def is_ready(self) -> bool:
        """Say whether the server answers and is ready."""

    def close(self) -> None:
        """Let go of connections."""


_OF_THE_PARSER: Final = 2
"""What the parser's own error holds, its words and its number; that of a connection which ended has only words."""


class HttpTransport:
    """Triton's HTTP protocol. Not safe to share between threads: gevent's connections belong to one."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, credentials: Credentials) -> None:
        import gevent.ssl
        from geventhttpclient.response import HTTPParseError
        from tritonclient import http

        self._url, self._timeout_s, self._headers = endpoint.url, timeout_s, credentials.headers
        self._tritonclient = http
        make_context = partial(gevent.ssl.create_default_context, cafile=credentials.root_certificates)
        self._broken, self._unreadable = (OSError, HTTPParseError), HTTPParseError
        self._client = http.InferenceServerClient(
            endpoint.address,
            connection_timeout=timeout_s,
            network_timeout=timeout_s,
            ssl=endpoint.secure,
            ssl_context_factory=make_context if endpoint.secure else None,
        )

    def infer(self, request: InferRequest) -> Sequence[bytes]:
        """Return the rows of the output that the request names."""
        try:
            result = self._client.infer(
                request.model,
                request_inputs(self._tritonclient, request),
                headers=self._headers,
                parameters=sent_parameters(request, self._timeout_s),
            )
        except InferenceServerException as error:
            raise failures.from_server(error, self._url) from error
        except self._broken as error:
            if isinstance(error, self._unreadable) and len(error.args) == _OF_THE_PARSER:
                raise failures.another_protocol(self._url) from error
            raise failures.unreachable(error, self._url, self._timeout_s) from error
        return output_rows(result, request)

    def is_ready(self) -> bool:
        """Say whether the server answers and is ready."""
        try:
            return bool(self._client.is_server_ready())
        except (InferenceServerException, *self._broken):
            return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class GrpcTransport:
    """Triton's gRPC protocol. May be shared between threads."""

    def __init__(self, endpoint: Endpoint, timeout_s: float, credentials: Credentials) -> None:
        from tritonclient import grpc

        self._url, self._timeout_s, self._headers = endpoint.url, timeout_s, credentials.headers
        self._tritonclient = grpc
        self._client = grpc.InferenceServerClient(
            endpoint.address, ssl=endpoint.secure, root_certificates=credentials.root_certificates
        )

    def infer(self, request: InferRequest) -> Sequence[bytes]:
        """Return the rows of the output that the request names."""
        try:
            result = self._client.infer(
                request.model,
                request_inputs(self._tritonclient, request),
                client_timeout=self._timeout_s,
                headers=self._headers,
                parameters=sent_parameters(request, self._timeout_s),
            )
        except InferenceServerException as error:
            raise failures.from_server(error, self._url) from error
        return output_rows(result, request)

    def is_ready(self) -> bool:
        """Say whether the server answers and is ready."""
        try:
            return bool(self._client.is_server_ready(client_timeout=self._timeout_s))
        except InferenceServerException:
            return False

    def close(self) -> None:
        """Close the channel."""
        self._client.close()


def open_transport(endpoint: Endpoint, timeout_s: float, credentials: Credentials) -> Transport:
    """Return the transport for an endpoint; nothing is connected yet."""
    kind = GrpcTransport if endpoint.protocol is endpoints.Protocol.GRPC else HttpTransport
    return kind(endpoint, timeout_s, credentials)


def sent_parameters(request: InferRequest, timeout_s: float) -> dict[str, Any]:
    """Return a request's parameters with its deadline, after which the server does not begin it."""
    return {**request.parameters, DEADLINE.name: round(time.time() + timeout_s, 3)}


def request_inputs(tritonclient: Any, request: InferRequest) -> list[Any]:
    """Return the input tensors, each BYTES [rows, 1], as tritonclient's own objects.

    Outputs are not named, so all of them come: Triton 2.51 leaves out the step that makes an output that is not asked
    for, even where a later step needs it, and then fails with "unexpected deadlock".
    """
    inputs = []
    for name, rows in request.columns.items():
        tensor = tritonclient.InferInput(name, [len(rows), 1], Dtype.BYTES.value)
        tensor.set_data_from_numpy(_column(rows))
        inputs.append(tensor)
    return inputs


def output_rows(result: Any, request: InferRequest) -> Sequence[bytes]:
    """Return the rows of the output.

    Raises:
        ProductMatchError: The server answered without it.
    """
    array = result.as_numpy(request.output)
    if array is None:
        raise ProductMatchError(
            f"model {request.model} answered without `{request.output}`; use a server of this client's version"
        )
    return [bytes(row) for row in array.reshape(-1)]


def _column(rows: Sequence[bytes]) -> NDArray[np.object_]:
    column = np.empty((len(rows), 1), dtype=np.object_)
    column[:, 0] = rows
    return column
