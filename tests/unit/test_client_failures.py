from __future__ import annotations

import asyncio
import socket
import threading

import grpc
import pytest
from tritonclient.utils import InferenceServerException

from product_match.contract.errors import (
    ConfigError,
    InvalidRequestError,
    NotFoundError,
    ProductMatchError,
    UnavailableError,
    error_classes,
)
from product_match_client import failures
from product_match_client.async_client import AsyncProductMatchClient
from product_match_client.client import ProductMatchClient

# What Triton's HTTP and gRPC front ends make of each code (http_server.cc, grpc_utils.cc).
TRITON_CODES = {
    "INTERNAL": ("500", "INTERNAL"),
    "INVALID_ARG": ("400", "INVALID_ARGUMENT"),
    "NOT_FOUND": ("404", "NOT_FOUND"),
    "UNAVAILABLE": ("503", "UNAVAILABLE"),
}


@pytest.mark.parametrize("error", error_classes())
def test_every_error_of_the_server_comes_back_as_the_nearest_class(error):
    http_status, grpc_status = TRITON_CODES[error.triton_code]
    for status in (http_status, f"StatusCode.{grpc_status}"):
        found = failures.error_class(status)
        assert issubclass(error, found)
        assert found.triton_code == error.triton_code


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_grpc_code_is_mapped(code):
    assert code.name in failures.GRPC_CLASSES
    assert failures.error_class(str(code)) is failures.GRPC_CLASSES[code.name]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("400", InvalidRequestError),
        ("404", NotFoundError),
        ("405", InvalidRequestError),
        ("401", ProductMatchError),
        ("403", ProductMatchError),
        ("408", UnavailableError),
        ("413", InvalidRequestError),
        ("429", UnavailableError),
        ("499", UnavailableError),
        ("500", ProductMatchError),
        ("501", InvalidRequestError),
        ("502", UnavailableError),
        ("503", UnavailableError),
        ("504", UnavailableError),
        ("505", ProductMatchError),
        ("302", ProductMatchError),
        (None, ProductMatchError),
        ("nonsense", ProductMatchError),
        ("StatusCode.NEW", ProductMatchError),
    ],
)
def test_a_status_decides_the_class(status, expected):
    assert failures.error_class(status) is expected


def test_the_ensembles_prefix_is_taken_off_the_message():
    error = InferenceServerException("in ensemble 'a', in ensemble 'b', top_k: wrong", status="400")
    assert str(failures.from_server(error, "http://x:1")) == "top_k: wrong"


def test_the_words_of_a_message_decide_nothing():
    error = InferenceServerException("UNAVAILABLE: not found", status="400")
    assert type(failures.from_server(error, "http://x:1")) is InvalidRequestError


def test_a_failure_without_a_message_names_server_and_status():
    error = failures.from_server(InferenceServerException(None, status="503"), "http://x:1")
    assert type(error) is UnavailableError
    assert "http://x:1 failed with status 503" in str(error)


def test_a_timeout_says_how_long_it_waited():
    assert "http://x:1 did not answer within 0.5 s" in str(failures.unreachable(TimeoutError(), "http://x:1", 0.5))


def test_a_refused_connection_says_why_and_what_to_do():
    message = str(failures.unreachable(ConnectionRefusedError(111, "Connection refused"), "http://x:1", 1))
    assert "no server answers at http://x:1 ([Errno 111] Connection refused)" in message
    assert "product-match serve" in message
    assert "(ConnectionResetError)" in str(failures.unreachable(ConnectionResetError(), "http://x:1", 1))


def answering_in_another_protocol(use):
    """Hand `use` the URL of something that greets as a gRPC server does: with a frame of HTTP/2."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def answer():
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(b"\x00\x00\x18\x04\x00\x00\x00\x00\x00" + bytes(24))

        threading.Thread(target=answer, daemon=True).start()
        return use(f"http://127.0.0.1:{listening.getsockname()[1]}")


def test_an_address_of_another_protocol_is_told_with_the_one_that_would_do():
    def ask(url):
        with ProductMatchClient(url, timeout_s=20.0) as client, pytest.raises(ConfigError) as plain:
            client.get(["1"])

        async def ask_async():
            async with AsyncProductMatchClient(url, timeout_s=20.0) as client:
                await client.hashes(["1"])

        with pytest.raises(ConfigError) as asynchronous:
            asyncio.run(ask_async())
        assert (
            str(plain.value)
            == str(asynchronous.value)
            == (
                f"{url} answers in another protocol than HTTP; if that is the gRPC port, write "
                f"{url.replace('http', 'grpc')}, else give the HTTP port"
            )
        )

    answering_in_another_protocol(ask)
    assert "grpcs://x:1, else" in str(failures.another_protocol("https://x:1"))
