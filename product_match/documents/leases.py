"""Leases in the document store: of all processes that could apply pending products, or rebuild, one does."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import pymongo
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from product_match.contract.errors import CancelledError, ProductMatchError, UnavailableError
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

    def held(self, *, sure: bool = False) -> bool:
        """Take, renew or keep the lease; return whether this process has it.

        Args:
            sure: True to ask the store even where it was asked a moment ago.

        Raises:
            UnavailableError: The store does not answer.
        """
        now = self._clock()
        if not sure and now - self._renewed < RENEW_S:
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


class KeptLease:
    """A lease for work that takes longer than one lasts: a thread renews it until the block ends."""

    def __init__(self, lease: Lease, what: str) -> None:
        """Keep `lease` for `what` is done under it, such as "rebuild"."""
        self._lease, self._what = lease, what
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> KeptLease:
        """Take the lease.

        Raises:
            UnavailableError: Another process has it, or the store does not answer.
        """
        with self._guard:
            if not self._lease.held():
                raise UnavailableError(
                    f"{self._what}: another process rebuilds or drops this collection; try again when it is done"
                )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lease back; where the store does not answer, it runs out by itself."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(ProductMatchError):
            self._lease.release()

    def check(self) -> None:
        """Ask the store whether the lease is still this process's, before a step that others would suffer from.

        Raises:
            CancelledError: Another process has it: this one was held for longer than a lease lasts.
            UnavailableError: The store does not answer.
        """
        with self._guard:
            if not self._lease.held(sure=True):
                raise CancelledError(f"{self._what}: this process was held for so long that another has taken over")

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S / 2):
            # What the store does not answer here, `check` asks again.
            with self._guard, contextlib.suppress(ProductMatchError):
                self._lease.held()
