"""The applier: carries pending documents into the vector index, for as long as the process runs."""

from __future__ import annotations

import contextlib
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pymongo

from product_match.contract.errors import ProductMatchError, UnavailableError
from product_match.documents.leases import Lease
from product_match.documents.mongo_errors import document_errors
from product_match.documents.store import Document, DocumentStore
from product_match.index.points import PointMaker
from product_match.vectors.vector_index import VectorIndex

logger = logging.getLogger(__name__)

BATCH_SIZE: Final = 128
"""Small, because Qdrant Edge holds the GIL, and with it every search, while it takes a batch."""

POLL_S: Final = 0.25
IN_STEP_S: Final = 1.0
MAX_BACKOFF_S: Final = 5.0
FLUSH_CHANGES: Final = 4096
"""Changes after which the index is flushed: its log grows until then, and is played back at a start."""

FLUSH_QUIET_S: Final = 10.0
"""Time without changes after which the last ones are flushed: a flush keeps searches waiting for a moment."""

_CLOSE_WAIT_S: Final = 10.0


class Applier:
    """Takes pending documents in batches, changes the index, then clears `pending` where nothing changed since.

    Applying is idempotent: killed at any point, the next run applies the same documents again. Reading documents and
    changing the index happen under `write_lock`, so whoever holds it never puts something older over something newer.
    """

    def __init__(
        self,
        documents: DocumentStore,
        index: VectorIndex,
        points: PointMaker,
        *,
        poll_s: float = POLL_S,
        lease: Lease | None = None,
        changing: Callable[[Sequence[str]], None] = lambda _: None,
        applied: Callable[[Sequence[Document]], None] = lambda _: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            documents: The truth.
            index: What is derived.
            points: Makes the points of `index`.
            poll_s: How often to look where nobody wakes it.
            lease: What decides which of several appliers works; None where there is one only.
            changing: Told the ids of products that have changed, before the index does.
            applied: Given the documents that were pending, once the index has them.
        """
        self.write_lock = threading.RLock()
        self._documents = documents
        self._index = index
        self.points = points
        self._applied = applied
        self._poll_s = poll_s
        self._lease = lease
        self._changing = changing
        self._in_step_at = -math.inf
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._progress = threading.Condition()
        self._rounds = 0
        self._unflushed = 0
        self._changed_at = 0.0
        self._recording: set[str] | None = None
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name="applier", daemon=True)

    @property
    def trouble(self) -> str | None:
        """What keeps the applier from working right now, or None."""
        return self._trouble

    def in_step(self, within_s: float = IN_STEP_S) -> bool:
        """Say whether what changed until `within_s` ago was seen; False while the document store does not answer."""
        return time.monotonic() - self._in_step_at <= within_s

    def quiet_s(self) -> float:
        """Return for how long nothing has been changed."""
        return time.monotonic() - self._changed_at

    def start(self) -> None:
        """Begin to apply in a thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look for pending documents now."""
        self._wake.set()

    def wait(self, revs: Mapping[str, int], timeout_s: float) -> dict[str, int]:
        """Wait until products can be found.

        Args:
            revs: Rev by point id, from receipts.
            timeout_s: Longest wait.

        Returns:
            Those that are still not applied; empty when all can be found.
        """
        give_up = time.monotonic() + timeout_s
        waiting = dict(revs)
        while True:
            with self._progress:
                seen = self._rounds
            self.wake()
            waiting = self._documents.still_pending(waiting) if waiting else {}
            left_s = give_up - time.monotonic()
            if not waiting or left_s <= 0:
                return waiting
            with self._progress:
                self._progress.wait_for(lambda seen=seen: self._rounds > seen, timeout=min(left_s, 1.0))  # type: ignore[misc]

    def apply_once(self, limit: int = BATCH_SIZE) -> int:
        """Apply up to `limit` pending documents and return how many there were."""
        if self._lease is not None and not self._lease.held():
            return 0
        with self.write_lock:
            batch = self._documents.pending(limit)
            self.apply(batch)
        return len(batch)

    def apply(self, batch: Sequence[Document]) -> None:
        """Apply documents that were read under `write_lock`."""
        if not batch:
            return
        self._record([document["_id"] for document in batch])
        self._change(self._index, batch, self.points)
        self._applied(batch)
        self._unflushed += len(batch)
        self._changed_at = time.monotonic()
        self._clear(batch)

    def use(self, points: PointMaker) -> None:
        """Make points by another recipe from now on; call it under `write_lock`, as the index is exchanged."""
        self.points = points

    def reapply(self, ids: Sequence[str], index: VectorIndex | None = None, points: PointMaker | None = None) -> None:
        """Bring points in step with their documents, pending or not.

        Args:
            ids: Which points.
            index: Another index than the applier's own, which then leaves `pending` alone.
            points: Makes that other index's points; the applier's own maker where none is given.
        """
        with self.write_lock:
            held = self._documents.read(ids)
            absent = [id_ for id_ in ids if id_ not in held]
            if index is not None:
                self._change(index, list(held.values()), points or self.points)
                index.delete(absent)
                return
            self.apply(list(held.values()))
            self._record(absent)
            self._index.delete(absent)

    def start_recording(self) -> None:
        """Begin to note which points change, for an index that is built meanwhile."""
        with self.write_lock:
            self._recording = set()

    def take_recording(self) -> list[str]:
        """Return the points that changed since the last call."""
        with self.write_lock:
            taken = list(self._recording or ())
            if self._recording is not None:
                self._recording.clear()
        return taken

    def stop_recording(self) -> None:
        """Note changes no longer."""
        with self.write_lock:
            self._recording = None

    def close(self) -> None:
        """Stop after the batch at hand."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_CLOSE_WAIT_S)
        if self._lease is not None:
            with contextlib.suppress(UnavailableError):
                self._lease.release()

    def _flush(self) -> None:
        if self._unflushed >= FLUSH_CHANGES or (self._unflushed and self.quiet_s() > FLUSH_QUIET_S):
            with self.write_lock:
                self._index.flush()
                self._unflushed = 0

    def _record(self, ids: Sequence[str]) -> None:
        self._changing(ids)
        if self._recording is not None:
            self._recording.update(ids)

    @staticmethod
    def _change(index: VectorIndex, batch: Sequence[Document], points: PointMaker) -> None:
        index.upsert([points.point(document) for document in batch if not document.get("deleted")])
        index.delete([document["_id"] for document in batch if document.get("deleted")])

    def _clear(self, batch: Sequence[Document]) -> None:
        """Take away `pending`, and tombstones, where the document is still as it was applied."""
        operations: list[Any] = []
        for document in batch:
            same = {"_id": document["_id"], "write_id": document["write_id"]}
            if document.get("deleted"):
                operations.append(pymongo.DeleteOne(same))
            elif document.get("pending"):
                operations.append(pymongo.UpdateOne(same, {"$unset": {"pending": ""}}))
        if not operations:
            return
        with document_errors("marking products as applied"):
            result = self._documents.products.bulk_write(operations, ordered=False)
        if result.matched_count + result.deleted_count < len(operations):
            self._heal(batch)

    def _heal(self, batch: Sequence[Document]) -> None:
        """Apply again what another applier carried further meanwhile: this one may have put older points over it."""
        written = {document["_id"]: document["write_id"] for document in batch}
        now = self._documents.read(list(written), {"write_id": 1, "pending": 1})
        behind = [
            id_
            for id_, write_id in written.items()
            if id_ not in now or (now[id_]["write_id"] != write_id and not now[id_].get("pending"))
        ]
        live = {document["_id"] for document in batch if not document.get("deleted")}
        again = [id_ for id_ in behind if id_ in now or id_ in live]
        if again:
            self._record(again)
            held = self._documents.read(again)
            self._change(self._index, list(held.values()), self.points)
            self._index.delete([id_ for id_ in again if id_ not in held])

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            started = time.monotonic()
            try:
                applied = self.apply_once()
                self._in_step_at = started
                self._flush()
                self._report(None)
                failures = 0
            except ProductMatchError as error:
                applied, failures = 0, failures + 1
                self._report(str(error))
            except Exception:
                applied, failures = 0, failures + 1
                logger.exception("applying products failed in an unforeseen way; it is tried again")
            with self._progress:
                self._rounds += 1
                self._progress.notify_all()
            if not applied:
                self._rest(failures)

    def _rest(self, failures: int) -> None:
        if failures:
            pause_s = min(MAX_BACKOFF_S, self._poll_s * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)
            self._closing.wait(pause_s)
            return
        self._wake.wait(self._poll_s)
        self._wake.clear()

    def _report(self, trouble: str | None) -> None:
        """Log once when applying stops working, and once when it works again."""
        if trouble is not None and self._trouble is None:
            logger.warning("applying products has stopped: %s; it resumes by itself", trouble)
        elif trouble is None and self._trouble is not None:
            logger.warning("applying products works again")
        self._trouble = trouble
