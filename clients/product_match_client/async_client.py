"""The asyncio twin of the client: the same calls, awaited; many may be in flight at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from product_match_client import conversations, operations
from product_match_client.answers import FeedbackReceipt, MatchResult, Receipt
from product_match_client.async_transports import AsyncTransport, open_async_transport
from product_match_client.client import DEFAULT_TIMEOUT_S, READY_POLL_S, not_ready
from product_match_client.conversations import Conversation, EventPage, ProductPage
from product_match_client.credentials import Credentials
from product_match_client.endpoints import DEFAULT_URL, parse_endpoint
from product_match_client.operations import Operation
from product_match_client.options import MatchOptions
from product_match_client.requests import FeedbackRow, ImageSource, ImageSources, ProductRow, Query

if TYPE_CHECKING:  # in the standard library from Python 3.11 on
    from typing_extensions import Unpack

T = TypeVar("T")
DEFAULT_CONNECTIONS: Final = 100


class AsyncProductMatchClient:
    """A Product Match server, from asyncio. It belongs to one event loop.

    Example:
        async with AsyncProductMatchClient("grpc://localhost:8001") as client:
            shoes, coats = await asyncio.gather(client.match(text="shoes"), client.match(text="coats"))
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        connections: int = DEFAULT_CONNECTIONS,
        key: str = "",
        ca_file: Path | None = None,
        transport: AsyncTransport | None = None,
    ) -> None:
        """Name the server; nothing is connected before the first call.

        Args:
            url: `host:port`, `http://host:port` or `grpc://host:port` (with an s for TLS).
            timeout_s: Longest wait for one answer.
            connections: Most HTTP connections at a time; gRPC shares one.
            key: Opens the server, where it asks for keys.
            ca_file: Certificates (PEM) that the server's goes back to, with TLS; the system's unless given.
            transport: Carries the requests instead of the network; for tests.

        Raises:
            ConfigError: The address, the key or the certificates cannot be used.
        """
        endpoint = parse_endpoint(url)
        self.url = endpoint.url
        credentials = Credentials(key=key, ca_file=ca_file)
        self._transport = transport or open_async_transport(endpoint, timeout_s, connections, credentials)

    async def __aenter__(self) -> AsyncProductMatchClient:
        """Return the client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections; the client cannot be used after."""
        await self._transport.close()

    async def match(
        self,
        image: ImageSource | None = None,
        text: str | None = None,
        **options: Unpack[MatchOptions],
    ) -> MatchResult:
        """Find the products that fit a photo, words, or both; see `ProductMatchClient.match`."""
        return await self._run(operations.match(Query(image=image, text=text), options))

    async def match_batch(
        self,
        queries: Sequence[Query],
        **options: Unpack[MatchOptions],
    ) -> list[MatchResult]:
        """Answer several queries in one request; see `ProductMatchClient.match_batch`."""
        return await self._run(operations.match_batch(queries, options))

    async def compose(self, terms: Sequence[Query], **options: Unpack[MatchOptions]) -> MatchResult:
        """Answer one query of several photos and texts; see `ProductMatchClient.compose`."""
        return await self._run(operations.compose(terms, options))

    async def index(
        self,
        product: Mapping[str, Any],
        image: ImageSources | None = None,
        text: str | None = None,
        *,
        wait: bool = False,
    ) -> Receipt:
        """Add a product, or update it; see `ProductMatchClient.index`."""
        return await self._run(operations.index(ProductRow(product=product, image=image, text=text), wait=wait))

    async def index_batch(self, rows: Sequence[ProductRow], *, wait: bool = False) -> list[Receipt]:
        """Add or update several products in one request; see `ProductMatchClient.index_batch`."""
        return await self._run(operations.index_batch(rows, wait=wait))

    async def feedback(
        self, *, token: str, product_id: str, rating: int | None = None, event: str | None = None
    ) -> FeedbackReceipt:
        """Say what a person thought of a product that an answer held; see `ProductMatchClient.feedback`."""
        row = FeedbackRow(token=token, product_id=product_id, rating=rating, event=event)
        return await self._run(operations.feedback(row))

    async def feedback_batch(self, rows: Sequence[FeedbackRow]) -> list[FeedbackReceipt]:
        """Say what people thought of several products; see `ProductMatchClient.feedback_batch`."""
        return await self._run(operations.feedback_batch(rows))

    async def catalogue(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one catalogue command and return its answer; see `ProductMatchClient.catalogue`."""
        return await self._run(operations.catalogue(command))

    async def get(self, product_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the products with these ids, with their `rev` and state; unknown ids are left out.

        Raises:
            NotFoundError: None of a thousand ids is known.
        """
        return await self._converse(conversations.get(product_ids))

    async def list_products(
        self,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        *,
        after: str = "",
        limit: int = 100,
    ) -> ProductPage:
        """Return a page of the products that a filter fits, by id; pass the page's `next` as `after` for the next."""
        return await self._converse(conversations.page("list", filter, after, limit))

    async def export_products(
        self,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        *,
        after: str = "",
        limit: int = 100,
    ) -> ProductPage:
        """Return a page as `list_products` does, with the words and the photos' digest of each product."""
        return await self._converse(conversations.page("export", filter, after, limit))

    async def images(self, digests: Sequence[str]) -> dict[str, list[str]]:
        """Return the photos of products in base64, by the digest that `export_products` names them by."""
        return await self._converse(conversations.images(digests))

    async def count(self, filter: Mapping[str, Any] | None = None) -> int:  # noqa: A002
        """Return how many products there are, or how many a filter fits."""
        return await self._converse(conversations.count(filter))

    async def hashes(self, product_ids: Sequence[str]) -> dict[str, str]:
        """Return the content hash of each product that the server holds; see `contract.products.content_hash`."""
        return await self._converse(conversations.hashes(product_ids))

    async def update(self, products: Sequence[Mapping[str, Any]], *, wait: bool = False) -> list[Mapping[str, Any]]:
        """Merge fields into products, without encoding anything; each has its `id`, and null takes a field away.

        Returns:
            For each, `id`, `rev` and `status`, or `id`, `error` and `message`.
        """
        return await self._converse(conversations.update(products, wait))

    async def delete(self, product_ids: Sequence[str], *, wait: bool = False) -> int:
        """Remove products; return how many were there.

        Raises:
            NotFoundError: None of ten thousand ids is known.
        """
        return await self._converse(conversations.delete(product_ids, wait))

    async def delete_matching(self, filter: Mapping[str, Any], *, wait: bool = False) -> int:  # noqa: A002
        """Remove the products that a filter fits; return how many there were."""
        return await self._converse(conversations.delete_matching(filter, wait))

    async def verify(self, *, repair: bool = False) -> dict[str, Any]:
        """Compare documents and vectors, and with `repair` put right what is out of step; return the report."""
        return await self._converse(conversations.verify(repair))

    async def rebuild(self) -> dict[str, Any]:
        """Start to derive a fresh vector index; return how it stands, as `status()["rebuild"]` does from then on."""
        return await self._converse(conversations.rebuild())

    async def reindex(self, encoder: str) -> dict[str, Any]:
        """Start to embed everything with the encoder in a directory of the server's machine, and switch to it.

        Returns:
            How it stands, as `status()["reindex"]` does from then on.

        Raises:
            InvalidRequestError: It is no encoder for this server, or another change is going on.
        """
        return await self._converse(conversations.change_encoder("reindex", encoder=encoder))

    async def rollback(self) -> dict[str, Any]:
        """Start to go back to the encoder before; return how it stands, as `reindex` does.

        Raises:
            InvalidRequestError: There is none, or another change is going on.
        """
        return await self._converse(conversations.change_encoder("rollback"))

    async def rules(self) -> list[Mapping[str, Any]]:
        """Return the shop's rules, each as it was set; see docs/queries.md."""
        return await self._converse(conversations.rules())

    async def set_rules(self, rules: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Add rules, or replace those of the same id; return all of them. They hold within seconds.

        Raises:
            InvalidRequestError: A rule is wrong, or names a product that is not there; none is changed.
        """
        return await self._converse(conversations.rules(set_=rules))

    async def remove_rules(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Remove rules by id; return those that are left.

        Raises:
            NotFoundError: There is none of them.
        """
        return await self._converse(conversations.rules(remove=ids))

    async def drop(self, confirm: str) -> dict[str, Any]:
        """Remove every product for good; `confirm` is the name of the collection."""
        return await self._converse(conversations.plain("drop", confirm=confirm))

    async def events(
        self, collection: str = "events", *, after: str = "", since: float = 0, limit: int | None = None
    ) -> EventPage:
        """Return a page of what is kept, the oldest first.

        Args:
            collection: "events", or "feedback".
            after: `next` of the page before.
            since: Where the first page starts, in seconds since 1970.
            limit: Most events of the page; the server's own limit unless given.
        """
        return await self._converse(conversations.events(collection, after, since, limit))

    async def forget_person(self, person: str) -> dict[str, int]:
        """Remove events and feedback of whom searches named by this `person`; return how many there were of each."""
        return await self._converse(conversations.forget_person(person))

    async def status(self) -> dict[str, Any]:
        """Return what the index is, how large, and what troubles it."""
        return await self._converse(conversations.plain("status"))

    async def capabilities(self) -> dict[str, Any]:
        """Return the server's models, its options with types and ranges, its filters and its limits."""
        return await self._converse(conversations.plain("capabilities"))

    async def is_ready(self) -> bool:
        """Say whether the server answers and every model is ready."""
        return await self._transport.is_ready()

    async def wait_ready(self, timeout_s: float) -> None:
        """Return as soon as the server is ready.

        Raises:
            UnavailableError: It is not, after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while not await self.is_ready():
            if time.monotonic() >= deadline:
                raise not_ready(self.url, timeout_s)
            await asyncio.sleep(READY_POLL_S)

    async def _run(self, operation: Operation[T]) -> T:
        return operation.read(await self._transport.infer(operation.request))

    async def _converse(self, conversation: Conversation[T]) -> T:
        try:
            command = next(conversation)
            while True:
                command = conversation.send(await self.catalogue(command))
        except StopIteration as end:
            answer: T = end.value
            return answer
