"""Ports: free ones are picked, taken ones are told."""

from __future__ import annotations

import socket

import pytest

from product_match.contract.errors import ConfigError, StackError
from product_match.host.ports import PortRequest, choose_ports


def request(port, name="http"):
    return PortRequest(port=port, purpose=f"Triton's {name}", option=f"--{name}-port")


def test_zero_picks_a_different_free_port_for_each():
    chosen = choose_ports({name: request(0, name) for name in ("http", "grpc", "metrics")})
    assert len(set(chosen.values())) == 3
    for port in chosen.values():
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_free_port_that_is_asked_for_is_given():
    port = choose_ports({"http": request(0)})["http"]
    assert choose_ports({"grpc": request(0, "grpc"), "http": request(port)})["http"] == port


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_named_with_its_purpose_and_option(address):
    with socket.create_server((address, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError) as refused:
            choose_ports({"http": request(port)})
    assert str(refused.value) == (
        f"port {port} for Triton's http cannot be used (Address already in use); "
        "stop what listens there or give another with --http-port (0 picks a free one)"
    )


def test_the_same_port_twice_is_a_misuse():
    port = choose_ports({"http": request(0)})["http"]
    with pytest.raises(
        ConfigError, match=f"--http-port and --grpc-port both ask for port {port}; change one of them"
    ):
        choose_ports({"http": request(port), "grpc": request(port, "grpc")})


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(ConfigError, match=rf"--http-port must be 0 \(any free port\) to 65535, got {port}"):
        request(port)
