"""The transports over real sockets: both protocols, sync and asyncio, against a server that speaks Triton's wire."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket

import grpc
import pytest

from product_match.contract.errors import InvalidRequestError, ProductMatchError, UnavailableError
from product_match_client import AsyncProductMatchClient, ProductMatchClient
from tests.fakes.triton_wire import RefusedError, grpc_server, http_server

SERVERS = {"http": http_server, "grpc": grpc_server}
MATCHES = {
    "query_id": "q1",
    "encoder": "demo@1",
    "matches": [{"rank": 1, "product_id": "7", "score": 0.5, "product": {"name": "Zoë's coat"}}],
}


@pytest.fixture(params=["http", "grpc"])
def protocol(request):
    return request.param


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Runs one method of a client that is opened and closed around it."""

    def run_sync(url, method, *arguments, **options):
        with ProductMatchClient(url, timeout_s=options.pop("timeout_s", 10)) as client:
            return getattr(client, method)(*arguments, **options)

    def run_async(url, method, *arguments, **options):
        async def run():
            async with AsyncProductMatchClient(url, timeout_s=options.pop("timeout_s", 10)) as client:
                return await getattr(client, method)(*arguments, **options)

        return asyncio.run(run())

    return run_sync if request.param == "sync" else run_async


def test_a_match_travels_there_and_back(protocol, call):
    seen = []

    def answer(model, columns, parameters):
        seen.append((model, columns, parameters))
        return [json.dumps(MATCHES).encode()]

    image = b"\x00photo\x00\x00"
    with SERVERS[protocol](answer) as url:
        result = call(url, "match", image, "blau\u00fc", top_k=3, image_weight=0.25, fields=["name"])
    assert result.matches[0].product == {"name": "Zoë's coat"}
    ((model, columns, parameters),) = seen
    assert model == "product_match"
    assert columns == {"image_bytes": [image], "query_text": ["blau\u00fc".encode()]}
    assert {name: parameters[name] for name in ("top_k", "image_weight", "fields")} == {
        "top_k": 3,
        "image_weight": 0.25,
        "fields": "name",
    }


def test_a_refusal_becomes_the_same_error_over_every_wire(protocol, call):
    def refuse(model, columns, parameters):
        raise RefusedError(400, grpc.StatusCode.INVALID_ARGUMENT, "in ensemble 'product_match_text', top_k: too big")

    with SERVERS[protocol](refuse) as url, pytest.raises(InvalidRequestError, match=r"\Atop_k: too big\Z"):
        call(url, "match", text="x")


def test_an_answer_without_the_output_is_told(protocol, call):
    with (
        SERVERS[protocol](lambda model, columns, parameters: []) as url,
        pytest.raises(ProductMatchError, match="catalogue answered without `result`; use a server of this client's"),
    ):
        call(url, "catalogue", {"operation": "count"})


def test_a_refused_connection_is_unavailable(protocol, call):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"{protocol}://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UnavailableError):
            call(url, "match", text="x")
        assert call(url, "is_ready") is False


def test_a_server_that_says_nothing_is_unavailable(protocol, call):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"{protocol}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnavailableError):
            call(url, "match", text="x", timeout_s=0.2)
        assert call(url, "is_ready", timeout_s=0.2) is False


def test_a_server_that_is_there_is_ready(protocol, call):
    with SERVERS[protocol](lambda model, columns, parameters: []) as url:
        assert call(url, "is_ready") is True
        call(url, "wait_ready", 5)


def test_the_twins_have_the_same_calls():
    for name, method in inspect.getmembers(ProductMatchClient, inspect.isfunction):
        if not name.startswith("_"):
            twin = getattr(AsyncProductMatchClient, name)
            assert inspect.signature(twin) == inspect.signature(method), name
