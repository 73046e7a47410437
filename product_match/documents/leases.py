"""A lease in the document store: of all processes that could apply pending products, one does."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import pymongo
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from product_match.documents.mongo_errors import document_errors

LEASE_S: Final = 6.0
"""How long another process waits for one that was killed."""

RENEW_S: Final = 2.0
_TIMEOUT_S: Final = 2.0


class Lease:
    """Held by at most one process at a time, as long as the clocks of hosts differ by less than LEASE_S."""

    def __init__(
        self, collection: Collection[dict[str, Any]], name: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Compete for the lease `name`, a document of `collection`."""
        self._collection = collection
        self._name = name
        self._clock = clock
        self._holder = uuid.uuid4().hex
        self._renewed = float("-inf")

    def held(self) -> bool:
        """Take, renew or keep the lease; return whether this process has it.

        Raises:
            UnavailableError: The store does not answer.
        """
        now = self._clock()
        if now - self._renewed < RENEW_S:
            return True
        with document_errors("taking the applier's lease"), pymongo.timeout(_TIMEOUT_S):
            if self._take(now):
                self._renewed = now
                return True
        self._renewed = float("-inf")
        return False

    def release(self) -> None:
        """Let another process have it at once."""
        with document_errors("giving the applier's lease back"), pymongo.timeout(_TIMEOUT_S):
            self._collection.delete_one({"_id": self._name, "holder": self._holder})
        self._renewed = float("-inf")

    def _take(self, now: float) -> bool:
        mine = {"holder": self._holder, "until": now + LEASE_S}
        current = self._collection.find_one({"_id": self._name})
        if current is None:
            try:
                self._collection.insert_one({"_id": self._name, **mine})
            except DuplicateKeyError:
                return False
            return True
        if current["holder"] != self._holder and current["until"] > now:
            return False
        same = {"_id": self._name, "holder": current["holder"], "until": current["until"]}
        return self._collection.update_one(same, {"$set": mine}).matched_count == 1
