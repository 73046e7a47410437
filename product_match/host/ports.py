"""Ports on the loopback interface: taken ones are told plainly, 0 picks a free one."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from product_match.contract.errors import ConfigError, StackError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class PortRequest:
    """A port that somebody asked for.

    Attributes:
        port: 1 to 65535, or 0 for any that is free.
        purpose: What listens there, for the message.
        option: The option that changes it.
    """

    port: int
    purpose: str
    option: str

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"{self.option} must be 0 (any free port) to 65535, got {self.port}")


def choose_ports(requests: Mapping[str, PortRequest]) -> dict[str, int]:
    """Return a free port for each request, all different.

    Raises:
        ConfigError: Two requests name the same port.
        StackError: A port is in use, or may not be used.
    """
    chosen: dict[str, int] = {}
    with contextlib.ExitStack() as held:
        # The fixed ones first, so that a free one that is picked never takes theirs.
        for name, request in sorted(requests.items(), key=lambda item: item[1].port == 0):
            for other, port in chosen.items():
                if port == request.port:
                    raise ConfigError(
                        f"{requests[other].option} and {request.option} both ask for port {port}; change one of them"
                    )
            listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((LOOPBACK, request.port))
                listener.listen(1)
            except OSError as error:
                raise StackError(
                    f"port {request.port} for {request.purpose} cannot be used ({error.strerror}); "
                    f"stop what listens there or give another with {request.option} (0 picks a free one)"
                ) from error
            chosen[name] = int(listener.getsockname()[1])
    return chosen
