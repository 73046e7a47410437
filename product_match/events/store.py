"""Where events and feedback are kept: two collections of a database of their own, named after that of the products.

    products_events    {_id, order, at, expires_at, type: "answer" | "error", ...}, as `recording` makes them
    products_feedback  {_id, order, at, expires_at, answer, product_id, rank, event, rating?, kind, outcome, encoder,
                        person?}

`order` sorts by time. MongoDB removes what has expired by a TTL index. nx-27017, the embedded store, has these too,
but looks through the whole collection for them with every read; so there this module removes by `order` what has
expired. Nor does nx-27017 know databases: its collections are one set, whatever the database's name.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

import pymongo
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from product_match.documents.connection import connect
from product_match.documents.mongo_errors import DUPLICATE_KEY, document_errors
from product_match.events.ids import earliest_id, time_of
from product_match.settings import ServingSettings

Document = dict[str, Any]

EVENTS: Final = "events"
FEEDBACK: Final = "feedback"
COLLECTIONS: Final = (EVENTS, FEEDBACK)

PAGE: Final = 200
"""Documents in one step: small, because nx-27017 keeps searches waiting for as long as a step takes."""

_A_SECOND: Final = 100
"""Feedback that a busy store takes in a second, at the least."""

_DAY_S: Final = 86_400
_EMBEDDED: Final = "nx_27017"


class Recorded(enum.Enum):
    """What became of feedback."""

    NEW = "recorded"
    CHANGED = "changed"
    REPEATED = "repeated"


class EventStore:
    """Events and feedback of one server."""

    def __init__(self, client: pymongo.MongoClient[Document], settings: ServingSettings) -> None:
        """Use the database that the settings name."""
        database = client[settings.event_database]
        self._client = client
        self._collections: Mapping[str, Collection[Document]] = {
            name: database[f"{settings.collection}_{name}"] for name in COLLECTIONS
        }
        self._timeout_s = settings.store_timeout_s
        self._lifetime_s = settings.event_days * _DAY_S
        self._sweeps: bool | None = None

    def record_feedback(self, documents: Sequence[Document]) -> list[Recorded]:
        """Keep feedback; of what is said twice the first stays, and a new rating takes the place of the one before.

        Raises:
            UnavailableError: The store does not answer.
        """
        dated = [self._dated(document) for document in documents]
        with document_errors("recording feedback"):
            self._prepare()
        # Somebody waits for it, so a store that hangs has to be told soon.
        with document_errors("recording feedback"), pymongo.timeout(self._timeout_s + len(dated) / _A_SECOND):
            there = self._insert(self._collections[FEEDBACK], dated)
            if not there:
                return [Recorded.NEW] * len(dated)
            changed = self._rate_again([dated[place] for place in there])
        of_place = {
            place: Recorded.CHANGED if dated[place]["order"] in changed else Recorded.REPEATED for place in there
        }
        return [of_place.get(place, Recorded.NEW) for place in range(len(dated))]

    def add_events(self, documents: Sequence[Document]) -> None:
        """Keep events; one that is there already stays as it is.

        Raises:
            UnavailableError: The store does not answer.
        """
        with document_errors("writing events"):
            self._prepare()
            self._insert(self._collections[EVENTS], [self._dated(document) for document in documents])

    def page(self, collection: str, after: str, limit: int) -> list[Document]:
        """Return up to `limit` documents of one of `COLLECTIONS` whose `order` is above `after`, in that order."""
        with document_errors("reading events"):
            found = self._collections[collection].find({"order": {"$gt": after}}, {"expires_at": 0})
            return list(found.sort("order", 1).limit(limit))

    def forget(self, person: str) -> dict[str, int]:
        """Remove what is kept of a person, by the digest of their key; return how much there was, by collection."""
        removed = {}
        for name, held in self._collections.items():
            with document_errors("removing a person's data"):
                removed[name] = held.delete_many({"person": person}).deleted_count
        return removed

    def remove_expired(self, now: Callable[[], float] = time.time) -> int:
        """Remove what has expired, where the store does not do so by itself; return how much that was.

        Raises:
            UnavailableError: The store does not answer.
        """
        with document_errors("preparing the event log"):
            self._prepare()
        if not self._sweeps:
            return 0
        order = earliest_id(now() - self._lifetime_s)
        return sum(self._remove_before(held, order) for held in self._collections.values())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _prepare(self) -> None:
        """Make the indexes, once; not at the start, so that a server starts while this store is away."""
        if self._sweeps is not None:
            return
        sweeps = self._client.admin.command("buildInfo").get("process") == _EMBEDDED
        for held in self._collections.values():
            held.create_index("order", name="order")
            held.create_index("person", name="person", partialFilterExpression={"person": {"$exists": True}})
            if not sweeps:
                held.create_index("expires_at", name="expires_at", expireAfterSeconds=0)
        self._sweeps = sweeps

    def _dated(self, document: Document) -> Document:
        at = time_of(document["order"])
        return {
            **document,
            "at": datetime.fromtimestamp(at, timezone.utc),
            "expires_at": datetime.fromtimestamp(at + self._lifetime_s, timezone.utc),
        }

    @staticmethod
    def _insert(held: Collection[Document], documents: Sequence[Document]) -> list[int]:
        """Insert what is new; return the places of those whose `_id` is there."""
        try:
            held.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failures = error.details.get("writeErrors", [])
            if any(failure.get("code") != DUPLICATE_KEY for failure in failures):
                raise
            return sorted(failure["index"] for failure in failures)
        return []

    def _rate_again(self, documents: Sequence[Document]) -> set[str]:
        """Let ratings take the place of others; return the `order` of those that did."""
        held = self._collections[FEEDBACK]
        # The last of several ratings of one product is what counts.
        ratings = {document["_id"]: document for document in documents if "rating" in document}
        if not ratings:
            return set()
        before = held.find({"_id": {"$in": list(ratings)}}, {"rating": 1})
        known = {document["_id"]: document["rating"] for document in before}
        changed = [document for id_, document in ratings.items() if known.get(id_) != document["rating"]]
        if changed:
            held.bulk_write(
                [pymongo.UpdateOne({"_id": one["_id"]}, {"$set": {"rating": one["rating"]}}) for one in changed],
                ordered=False,
            )
        return {document["order"] for document in changed}

    @staticmethod
    def _remove_before(held: Collection[Document], order: str) -> int:
        with document_errors("removing expired events"):
            ids = [one["_id"] for one in held.find({"order": {"$lt": order}}, {"_id": 1}).limit(PAGE)]
            return held.delete_many({"_id": {"$in": ids}}).deleted_count if ids else 0


def open_events(settings: ServingSettings) -> EventStore:
    """Reach the store of events; nothing is connected yet.

    Raises:
        ConfigError: The URI is wrong.
    """
    return EventStore(connect(settings, settings.event_uri.value), settings)
