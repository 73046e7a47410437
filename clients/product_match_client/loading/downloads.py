"""Photos by URL: bounded in size, time, redirects and number, and only from addresses that were checked."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import zlib
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError, UnavailableError
from product_match_client.loading.addresses import PublicAddresses, system_resolve
from product_match_client.loading.retrying import backoff_s

USER_AGENT: Final = "product-match"
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
BUSY_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK: Final = 1 << 16
_AS_WRITTEN: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
"""What RFC 3986 lets a URL hold; what holds anything else, such as a space, is quoted."""

_LAST_PORT: Final = 65_535
_GZIP_OR_ZLIB: Final = 32


@dataclass(frozen=True, kw_only=True)
class DownloadSettings:
    """Bounds of downloads.

    Attributes:
        timeout_s: Longest time for one photo, redirects and retries included.
        redirects: Most redirects that are followed.
        connections: Downloads at a time.
        connections_per_host: Downloads at a time from one host.
        attempts: Times that a busy or broken server is asked.
    """

    timeout_s: float = 30.0
    redirects: int = 5
    connections: int = 16
    connections_per_host: int = 8
    attempts: int = 4


@dataclass(kw_only=True)
class PhotoDownloader:
    """Fetches photos. Use it as an asynchronous context manager, in the event loop that fetches."""

    settings: DownloadSettings = field(default_factory=DownloadSettings)
    addresses: PublicAddresses = field(default_factory=lambda: PublicAddresses(resolve=system_resolve))
    _session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> PhotoDownloader:
        """Make the pool of connections."""
        connector = aiohttp.TCPConnector(
            limit=self.settings.connections,
            limit_per_host=self.settings.connections_per_host,
            resolver=_CheckedResolver(self.addresses),
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            # What is compressed could grow without bound when it is unpacked, so nothing is unpacked.
            auto_decompress=False,
            headers={"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def fetch(self, url: str) -> bytes:
        """Return what is at an http(s) URL.

        Raises:
            InvalidRequestError: The URL cannot be used, its host is not public, or what is there is no photo to take.
            UnavailableError: The host does not answer, or not in time.
        """
        url = url.strip()
        try:
            return await asyncio.wait_for(self._tried(url), self.settings.timeout_s)
        except asyncio.TimeoutError as error:
            raise UnavailableError(f"{url} did not come within {self.settings.timeout_s:g} s; try later") from error

    async def _tried(self, url: str) -> bytes:
        for attempt in range(1, self.settings.attempts):
            try:
                return await self._told(url)
            except UnavailableError:
                await asyncio.sleep(backoff_s(attempt, random.random()))
        return await self._told(url)

    async def _told(self, url: str) -> bytes:
        try:
            return await self._follow(url)
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"{url} cannot be fetched ({str(error) or type(error).__name__})") from error

    async def _follow(self, url: str) -> bytes:
        place = _parsed(url)
        for _ in range(self.settings.redirects + 1):
            answer = await self._get(place)
            if isinstance(answer, bytes):
                return answer
            place = _parsed(answer, place)
        raise InvalidRequestError(
            f"{url} redirects more than {self.settings.redirects} times; give the address of the photo itself"
        )

    async def _get(self, url: URL) -> bytes | str:
        """Return the content at a URL, or where it says to look instead."""
        if self._session is None:
            raise RuntimeError("the downloader is not open; use it with `async with`")
        # The resolver sees names only: an address written as a number has to be looked at here.
        try:
            await self.addresses.lookup(url.host or "", url.port or 80)
        except (InvalidRequestError, UnavailableError) as error:
            raise type(error)(f"{url}: {error}") from error
        async with self._session.get(url, allow_redirects=False) as answer:
            if answer.status in REDIRECT_STATUSES:
                return answer.headers.get("Location", str(url))
            if answer.status in BUSY_STATUSES:
                raise UnavailableError(f"{url} answered {answer.status}; try later")
            if answer.status != 200:
                raise InvalidRequestError(f"{url} answered {answer.status}; correct the address")
            return await _content(answer, url)


def _parsed(text: str, base: URL | None = None) -> URL:
    """Read a URL once, with the reader that the connection is made by: two readers could see two hosts."""
    try:
        # As it is written where it can be: a signature is made over the query's own bytes.
        url = URL(text, encoded=_AS_WRITTEN.fullmatch(text) is not None)
        if base is not None:
            url = base.join(url)
        elif url.port is not None and url.port > _LAST_PORT:
            raise ValueError(f"port {url.port} is above {_LAST_PORT}")
    except ValueError as error:
        raise InvalidRequestError(f"`{text}` is not a URL ({error}); correct it") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidRequestError(f"`{url}` is not an http(s) URL; correct it")
    return url


async def _content(answer: aiohttp.ClientResponse, url: URL) -> bytes:
    too_large = (
        f"{url}: more than {limits.MAX_IMAGE_BYTES:,} bytes, the most that a server takes; use a smaller photo"
    )
    if (answer.content_length or 0) > limits.MAX_IMAGE_BYTES:
        raise InvalidRequestError(too_large)
    data = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > limits.MAX_IMAGE_BYTES:
            raise InvalidRequestError(too_large)
    if not data:
        raise InvalidRequestError(f"{url} is empty; correct the address")
    return _unpacked(bytes(data), answer.headers.get("Content-Encoding", "").strip().lower(), url, too_large)


def _unpacked(data: bytes, encoding: str, url: URL, too_large: str) -> bytes:
    """Return a body without the compression that some hosts put on all they send, never more than a photo's bytes."""
    if encoding in ("", "identity"):
        return data
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise InvalidRequestError(
            f"{url} came packed as `{encoding:.40}`, which was not asked for; serve it as it is"
        )
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | _GZIP_OR_ZLIB)
    try:
        photo = unpacking.decompress(data, limits.MAX_IMAGE_BYTES + 1)
    except zlib.error as error:
        raise InvalidRequestError(f"{url} says it is {encoding} and cannot be unpacked ({error}); mend it") from error
    if len(photo) > limits.MAX_IMAGE_BYTES:
        raise InvalidRequestError(too_large)
    return photo


class _CheckedResolver(AbstractResolver):
    """Hands aiohttp only addresses that may be connected to, so that what was checked is what is used."""

    def __init__(self, addresses: PublicAddresses) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002  aiohttp's own
    ) -> list[ResolveResult]:
        """Return the addresses of a host."""
        return [_result(host, port, address) for address in await self._addresses.lookup(host, port)]

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, port: int, address: str) -> Any:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
