"""Where a server listens, as a caller writes it: `host:port`, `http://host:port` or `grpc://host:port`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from product_match.contract.errors import ConfigError

DEFAULT_URL: Final = "localhost:8000"


class Protocol(enum.Enum):
    """Triton's two front doors, with the port that each has by default."""

    HTTP = 8000
    GRPC = 8001


_SCHEMES: Final = {
    "http": (Protocol.HTTP, False),
    "https": (Protocol.HTTP, True),
    "grpc": (Protocol.GRPC, False),
    "grpcs": (Protocol.GRPC, True),
}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One address of a server.

    Attributes:
        protocol: HTTP or gRPC.
        address: `host:port`, and for HTTP any base path, without a scheme: what tritonclient takes.
        secure: True for TLS.
    """

    protocol: Protocol
    address: str
    secure: bool = False

    @property
    def url(self) -> str:
        """The address with its scheme."""
        scheme = next(name for name, kind in _SCHEMES.items() if kind == (self.protocol, self.secure))
        return f"{scheme}://{self.address}"


def parse_endpoint(url: str) -> Endpoint:
    """Read an address.

    Raises:
        ConfigError: The scheme, host or port cannot be used.
    """
    text = url.strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        protocol, secure = _SCHEMES[parts.scheme]
        port = parts.port or protocol.value
    except (KeyError, ValueError) as error:
        raise ConfigError(_refusal(url)) from error
    path = parts.path.rstrip("/")
    grpc_path = protocol is Protocol.GRPC and path
    if not parts.hostname or parts.query or parts.fragment or parts.username is not None or grpc_path:
        raise ConfigError(_refusal(url))
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Endpoint(protocol=protocol, address=f"{host}:{port}{path}", secure=secure)


def _refusal(url: str) -> str:
    return (
        f"`{url}` is not the address of a server; write host:port, http://host:port, https://host:port, "
        "grpc://host:port or grpcs://host:port"
    )
