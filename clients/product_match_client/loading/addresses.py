"""Which addresses a download may go to: public ones, unless the caller allows more."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from product_match.contract.errors import InvalidRequestError, UnavailableError

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOW_32_BITS: Final = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True)
class PublicAddresses:
    """Resolves names to the addresses that may be connected to.

    Attributes:
        allow_private: True to allow private, loopback and link-local addresses too.
        resolve: From host and port to addresses.
    """

    allow_private: bool = False
    resolve: Resolve

    async def lookup(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be connected to.

        Raises:
            InvalidRequestError: It has none.
            UnavailableError: Its name does not resolve.
        """
        try:
            found = await self.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise UnavailableError(
                f"the name {host} cannot be resolved ({error}); correct it, or try later"
            ) from error
        allowed = [address for address in found if self.allow_private or is_public(address)]
        if not allowed:
            raise InvalidRequestError(
                f"{host} is at {', '.join(found) or 'no address'}, which is not a public address; "
                "allow it with --allow-private-addresses if you trust this catalogue"
            )
        return allowed


async def system_resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Say whether an address is one of the public internet; what stands for an IPv4 address counts as that."""
    try:
        ip: IPAddress = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.teredo is not None:
            return False
        ip = ip.ipv4_mapped or ip.sixtofour or (_embedded(ip) if ip in _NAT64 else ip)
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address:
    return ipaddress.IPv4Address(int(ip) & _LOW_32_BITS)
