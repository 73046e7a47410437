"""What Triton's models need of others: the document store, the Qdrant server, and the collection in it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Final

import pymongo

from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ProductMatchError, UnavailableError
from product_match.documents.connection import connect
from product_match.documents.mongo_errors import document_errors
from product_match.settings import ServingSettings

logger = logging.getLogger(__name__)

PAUSE_S: Final = 2.0
Question = Callable[[], None]
"""Asks a store something small; raises one of the project's errors where it does not answer as it should."""


class StoreWatch:
    """Asks stores whether they answer, in a thread of its own: one that hangs holds nothing up."""

    def __init__(
        self, questions: Mapping[str, Question], *, away_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask `questions`, by what they are asked of; what has not answered for `away_s` is away."""
        self._questions, self._away_s, self._clock = dict(questions), away_s, clock
        self._since: dict[str, float] = {}
        self._words: dict[str, str] = {}
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> StoreWatch:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop asking."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(PAUSE_S)

    def ask(self) -> None:
        """Ask all of them once."""
        for name, question in self._questions.items():
            words = _trouble_of(question)
            with self._guard:
                self._words[name] = words
                if not words:
                    self._since.pop(name, None)
                else:
                    self._since.setdefault(name, self._clock())

    def missing(self) -> list[str]:
        """Return what is wrong with those that did not answer when they were last asked."""
        with self._guard:
            return [self._words.get(name, f"{name} was not asked yet") for name in self._questions if self._bad(name)]

    def away(self) -> list[str]:
        """Return the same of those that have not answered for longer than the limit."""
        now = self._clock()
        with self._guard:
            long = [name for name, since in self._since.items() if now - since >= self._away_s]
            return [f"{name} is away for {now - self._since[name]:.0f} s: {self._words[name]}" for name in long]

    def _bad(self, name: str) -> bool:
        return self._words.get(name, "unasked") != ""

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.ask()
            self._stopped.wait(PAUSE_S)


def _trouble_of(question: Question) -> str:
    try:
        question()
    except ProductMatchError as error:
        return str(error)
    except Exception as error:
        logger.exception("a store could not be asked")
        return f"internal error ({type(error).__name__}); see the log"
    return ""


@contextlib.contextmanager
def opened_stores(
    settings: ServingSettings, encoder: EncoderSpec
) -> Iterator[tuple[Mapping[str, Question], Question]]:
    """Yield questions to the stores, and one to the collection that searches go to."""
    # Imported here: an installation without a Qdrant server need not have its client.
    from qdrant_client import grpc as qdrant

    from product_match.vectors.server_channel import QdrantChannel
    from product_match.vectors.server_collections import ServerCollections

    with contextlib.ExitStack() as opened:
        documents: pymongo.MongoClient[dict[str, object]] = connect(settings)
        opened.callback(documents.close)
        channel = QdrantChannel(settings.qdrant_url, settings.qdrant_api_key.value, settings.qdrant_ca_file)
        opened.callback(channel.close)
        collections = ServerCollections(channel, settings.collection, encoder, "")

        def ask_documents() -> None:
            with document_errors("a first question"), pymongo.timeout(settings.store_timeout_s):
                documents[settings.mongodb_database].command("ping")

        def ask_vectors() -> None:
            request = qdrant.ListAliasesRequest()
            channel.call(channel.collections.ListAliases, request, settings.store_timeout_s)

        def ask_index() -> None:
            if collections.current() is None:
                raise UnavailableError(
                    f"vector index: no collection is behind the alias {collections.alias}; "
                    "start Triton again, which makes one"
                )

        yield {"document store": ask_documents, "vector index": ask_vectors}, ask_index
