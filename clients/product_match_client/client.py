"""The client: one class for HTTP and gRPC."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from product_match.contract.errors import UnavailableError
from product_match_client import conversations, operations
from product_match_client.answers import FeedbackReceipt, MatchResult, Receipt
from product_match_client.conversations import Conversation, EventPage, ProductPage
from product_match_client.credentials import Credentials
from product_match_client.endpoints import DEFAULT_URL, parse_endpoint
from product_match_client.operations import Operation
from product_match_client.options import MatchOptions
from product_match_client.requests import FeedbackRow, ImageSource, ImageSources, ProductRow, Query
from product_match_client.transports import Transport, open_transport

if TYPE_CHECKING:  # in the standard library from Python 3.11 on
    from typing_extensions import Unpack

T = TypeVar("T")
DEFAULT_TIMEOUT_S: Final = 30.0
READY_POLL_S: Final = 0.1


class ProductMatchClient:
    """A Product Match server.

    Use it as a context manager. Over gRPC it may be shared between threads; over HTTP it belongs to one thread
    (tritonclient's connections do), so give each thread its own.

    Example:
        with ProductMatchClient("localhost:8000") as client:
            for match in client.match("shoe.jpg", "in navy", top_k=5).matches:
                print(match.score, match.product["name"])
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        key: str = "",
        ca_file: Path | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Name the server; nothing is connected before the first call.

        Args:
            url: `host:port`, `http://host:port` or `grpc://host:port` (with an s for TLS).
            timeout_s: Longest wait for one answer.
            key: Opens the server, where it asks for keys.
            ca_file: Certificates (PEM) that the server's goes back to, with TLS; the system's unless given.
            transport: Carries the requests instead of the network; for tests.

        Raises:
            ConfigError: The address, the key or the certificates cannot be used.
        """
        endpoint = parse_endpoint(url)
        self.url = endpoint.url
        credentials = Credentials(key=key, ca_file=ca_file)
        self._transport = transport or open_transport(endpoint, timeout_s, credentials)

    def __enter__(self) -> ProductMatchClient:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used after."""
        self._transport.close()

    def match(
        self,
        image: ImageSource | None = None,
        text: str | None = None,
        **options: Unpack[MatchOptions],
    ) -> MatchResult:
        """Find the products that fit a photo, words, or both.

        Args:
            image: A path, or the bytes of an encoded photo.
            text: Words.
            options: The options of `MatchOptions`, such as `top_k=5`; those not given are the server's to choose.

        Raises:
            InvalidRequestError: The query cannot be served; the message says what to change.
            UnavailableError: The server or one of its stores is away, busy or too slow.
        """
        return self._run(operations.match(Query(image=image, text=text), options))

    def match_batch(
        self,
        queries: Sequence[Query],
        **options: Unpack[MatchOptions],
    ) -> list[MatchResult]:
        """Answer several queries in one request; the options, as in `match`, hold for all of them.

        Raises:
            InvalidRequestError: A query cannot be served; none of them is answered.
            UnavailableError: The server or one of its stores is away, busy or too slow.
        """
        return self._run(operations.match_batch(queries, options))

    def compose(self, terms: Sequence[Query], **options: Unpack[MatchOptions]) -> MatchResult:
        """Answer one query of several photos and texts.

        Args:
            terms: Each a photo, words, or both.
            options: As in `match`; `weights` has one number for each term, 1 unless given, and what is found is not
                to be like a term below 0.

        Raises:
            InvalidRequestError: The query cannot be served; the message says what to change.
            UnavailableError: The server or one of its stores is away, busy or too slow.
        """
        return self._run(operations.compose(terms, options))

    def index(
        self,
        product: Mapping[str, Any],
        image: ImageSources | None = None,
        text: str | None = None,
        *,
        wait: bool = False,
    ) -> Receipt:
        """Add a product, or update it.

        Args:
            product: Its fields; `id` is required.
            image: A path, or the bytes of an encoded photo; or a list of several, the best one first.
            text: The words it is found by; its own text fields unless given, empty for none.
            wait: Answer only when the product can be found.

        Raises:
            InvalidRequestError: The product or its photo cannot be taken.
            UnavailableError: The server or one of its stores is away, busy or too slow; sending again is safe.
        """
        return self._run(operations.index(ProductRow(product=product, image=image, text=text), wait=wait))

    def index_batch(self, rows: Sequence[ProductRow], *, wait: bool = False) -> list[Receipt]:
        """Add or update several products in one request.

        Raises:
            InvalidRequestError: A row cannot be taken; none of them may have been.
            UnavailableError: The server or one of its stores is away, busy or too slow; sending again is safe.
        """
        return self._run(operations.index_batch(rows, wait=wait))

    def feedback(
        self, *, token: str, product_id: str, rating: int | None = None, event: str | None = None
    ) -> FeedbackReceipt:
        """Say what a person thought of a product that an answer held; to send it again is safe.

        Args:
            token: The `feedback_token` of the answer.
            product_id: Of one of its matches.
            rating: From 1 (wrong) to 10 (just what was looked for), or
            event: "shown", "click", "basket", "purchase" or "wrong".

        Raises:
            InvalidRequestError: The token is forged or has expired, or the product is not of its answer.
            UnavailableError: The server or its store is away, busy or too slow.
        """
        row = FeedbackRow(token=token, product_id=product_id, rating=rating, event=event)
        return self._run(operations.feedback(row))

    def feedback_batch(self, rows: Sequence[FeedbackRow]) -> list[FeedbackReceipt]:
        """Say what people thought of several products in one request, such as all that were shown."""
        return self._run(operations.feedback_batch(rows))

    def catalogue(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run one catalogue command, such as `{"operation": "count"}`, and return its answer.

        Raises:
            InvalidRequestError: The command is unknown or incomplete.
            NotFoundError: A product that it names does not exist.
            UnavailableError: The server or one of its stores is away, busy or too slow.
        """
        return self._run(operations.catalogue(command))

    def get(self, product_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Return the products with these ids, with their `rev` and state; unknown ids are left out.

        Raises:
            NotFoundError: None of a thousand ids is known.
        """
        return self._converse(conversations.get(product_ids))

    def list_products(
        self,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        *,
        after: str = "",
        limit: int = 100,
    ) -> ProductPage:
        """Return a page of the products that a filter fits, by id; pass the page's `next` as `after` for the next."""
        return self._converse(conversations.page("list", filter, after, limit))

    def export_products(
        self,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        *,
        after: str = "",
        limit: int = 100,
    ) -> ProductPage:
        """Return a page as `list_products` does, with the words and the photos' digest of each product."""
        return self._converse(conversations.page("export", filter, after, limit))

    def images(self, digests: Sequence[str]) -> dict[str, list[str]]:
        """Return the photos of products in base64, by the digest that `export_products` names them by."""
        return self._converse(conversations.images(digests))

    def count(self, filter: Mapping[str, Any] | None = None) -> int:  # noqa: A002
        """Return how many products there are, or how many a filter fits."""
        return self._converse(conversations.count(filter))

    def hashes(self, product_ids: Sequence[str]) -> dict[str, str]:
        """Return the content hash of each product that the server holds; see `contract.products.content_hash`."""
        return self._converse(conversations.hashes(product_ids))

    def update(self, products: Sequence[Mapping[str, Any]], *, wait: bool = False) -> list[Mapping[str, Any]]:
        """Merge fields into products, without encoding anything; each has its `id`, and null takes a field away.

        Returns:
            For each, `id`, `rev` and `status`, or `id`, `error` and `message`.
        """
        return self._converse(conversations.update(products, wait))

    def delete(self, product_ids: Sequence[str], *, wait: bool = False) -> int:
        """Remove products; return how many were there.

        Raises:
            NotFoundError: None of ten thousand ids is known.
        """
        return self._converse(conversations.delete(product_ids, wait))

    def delete_matching(self, filter: Mapping[str, Any], *, wait: bool = False) -> int:  # noqa: A002
        """Remove the products that a filter fits; return how many there were."""
        return self._converse(conversations.delete_matching(filter, wait))

    def verify(self, *, repair: bool = False) -> dict[str, Any]:
        """Compare documents and vectors, and with `repair` put right what is out of step; return the report."""
        return self._converse(conversations.verify(repair))

    def rebuild(self) -> dict[str, Any]:
        """Start to derive a fresh vector index; return how it stands, as `status()["rebuild"]` does from then on."""
        return self._converse(conversations.rebuild())

    def reindex(self, encoder: str) -> dict[str, Any]:
        """Start to embed everything with the encoder in a directory of the server's machine, and switch to it.

        Returns:
            How it stands, as `status()["reindex"]` does from then on.

        Raises:
            InvalidRequestError: It is no encoder for this server, or another change is going on.
        """
        return self._converse(conversations.change_encoder("reindex", encoder=encoder))

    def rollback(self) -> dict[str, Any]:
        """Start to go back to the encoder before; return how it stands, as `reindex` does.

        Raises:
            InvalidRequestError: There is none, or another change is going on.
        """
        return self._converse(conversations.change_encoder("rollback"))

    def rules(self) -> list[Mapping[str, Any]]:
        """Return the shop's rules, each as it was set; see docs/queries.md."""
        return self._converse(conversations.rules())

    def set_rules(self, rules: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Add rules, or replace those of the same id; return all of them. They hold within seconds.

        Raises:
            InvalidRequestError: A rule is wrong, or names a product that is not there; none is changed.
        """
        return self._converse(conversations.rules(set_=rules))

    def remove_rules(self, ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """Remove rules by id; return those that are left.

        Raises:
            NotFoundError: There is none of them.
        """
        return self._converse(conversations.rules(remove=ids))

    def drop(self, confirm: str) -> dict[str, Any]:
        """Remove every product for good; `confirm` is the name of the collection."""
        return self._converse(conversations.plain("drop", confirm=confirm))

    def events(
        self, collection: str = "events", *, after: str = "", since: float = 0, limit: int | None = None
    ) -> EventPage:
        """Return a page of what is kept, the oldest first.

        Args:
            collection: "events", or "feedback".
            after: `next` of the page before.
            since: Where the first page starts, in seconds since 1970.
            limit: Most events of the page; the server's own limit unless given.
        """
        return self._converse(conversations.events(collection, after, since, limit))

    def forget_person(self, person: str) -> dict[str, int]:
        """Remove events and feedback of whom searches named by this `person`; return how many there were of each."""
        return self._converse(conversations.forget_person(person))

    def status(self) -> dict[str, Any]:
        """Return what the index is, how large, and what troubles it."""
        return self._converse(conversations.plain("status"))

    def capabilities(self) -> dict[str, Any]:
        """Return the server's models, its options with types and ranges, its filters and its limits."""
        return self._converse(conversations.plain("capabilities"))

    def is_ready(self) -> bool:
        """Say whether the server answers and every model is ready."""
        return self._transport.is_ready()

    def wait_ready(self, timeout_s: float) -> None:
        """Return as soon as the server is ready.

        Raises:
            UnavailableError: It is not, after `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if time.monotonic() >= deadline:
                raise not_ready(self.url, timeout_s)
            time.sleep(READY_POLL_S)

    def _run(self, operation: Operation[T]) -> T:
        return operation.read(self._transport.infer(operation.request))

    def _converse(self, conversation: Conversation[T]) -> T:
        try:
            command = next(conversation)
            while True:
                command = conversation.send(self.catalogue(command))
        except StopIteration as end:
            answer: T = end.value
            return answer


def not_ready(url: str, timeout_s: float) -> UnavailableError:
    """Return the error for a server that did not become ready."""
    return UnavailableError(
        f"the server at {url} is not ready after {timeout_s:g} s; see its log, "
        "or start one with `product-match serve`"
    )
