"""Compares documents and vector index, a page at a time, and puts right what is out of step."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from product_match.contract.errors import InvalidRequestError
from product_match.documents.store import PAGE_SIZE, STATE_FIELDS, Document, DocumentStore
from product_match.vectors.vector_index import Revision, VectorIndex

MAX_EXAMPLES: Final = 20
SECOND_LOOKS: Final = 3

_DOCUMENTS: Final = "documents"
_POINTS: Final = "points"
_PHOTOS: Final = "photos"
_DONE: Final = "done"
FAULTS: Final = ("missing", "orphaned", "wrong_rev", "wrong_vectors", "wrong_encoder")


@dataclass(kw_only=True)
class VerifyReport:
    """What a comparison found.

    Attributes:
        documents: Products, tombstones left out.
        vectors: Points in the index.
        pending: Documents that the index has not taken yet: normal while products are being written.
        missing: Products that the index does not hold, and should.
        orphaned: Points without a product.
        wrong_rev: Products that the index holds in another revision.
        wrong_vectors: Products whose point lacks a vector, or has one too many.
        wrong_encoder: Products that another encoder has encoded.
        repaired: Points that were brought in step.
        photos: Photos that are kept.
        unused_photos: Photos that no product has any more; a repair removes those that were not kept lately.
        removed_photos: Unused photos that were removed.
        examples: Some product or point ids of each kind.
        seconds: How long it took.
    """

    documents: int = 0
    vectors: int = 0
    pending: int = 0
    missing: int = 0
    orphaned: int = 0
    wrong_rev: int = 0
    wrong_vectors: int = 0
    wrong_encoder: int = 0
    repaired: int = 0
    photos: int = 0
    unused_photos: int = 0
    removed_photos: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def in_step(self) -> bool:
        """True if nothing is missing, orphaned or wrong; pending products are on their way."""
        return not any(getattr(self, kind) for kind in FAULTS)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON of a report."""
        return {**dataclasses.asdict(self), "in_step": self.in_step}

    def note(self, kind: str, example: str) -> None:
        """Count one more of `kind`."""
        setattr(self, kind, getattr(self, kind) + 1)
        examples = self.examples.setdefault(kind, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(example)


class Comparable(Protocol):
    """The part of an IndexOwner that a comparison needs."""

    def count(self) -> int:
        """Return how many points the index holds."""

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what the index holds of `ids`."""

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions in the order of ids, from the first id above `after`."""

    def reapply(self, ids: Sequence[str]) -> int:
        """Bring the index in step with the documents of `ids`; return how many there are."""


class ComparedIndex:
    """What a comparison reads of an index; how it is brought in step is each owner's own."""

    def __init__(self, documents: DocumentStore, index: VectorIndex) -> None:
        """Compare `index` with `documents`."""
        self._documents = documents
        self._index = index

    def count(self) -> int:
        """Return how many points the index holds."""
        return self._index.count()

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what the index holds of `ids`."""
        return self._index.lookup(ids)

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions above `after`."""
        return self._index.page(after, limit)


class Verification:
    """A comparison in steps, so that one of 100,000 products need not be one request.

    A product that changes in between looks out of step for a moment, so whatever looks wrong is looked at again
    before it counts. Memory is that of a page, however many products there are.
    """

    def __init__(self, documents: DocumentStore, owner: Comparable, *, repair: bool = False) -> None:
        """Begin.

        Args:
            documents: The truth.
            owner: Whoever holds the index.
            repair: Bring what is out of step in line with the documents. Products of another encoder stay as they
                are: they must be encoded again.
        """
        self.report = VerifyReport()
        self._documents = documents
        self._owner = owner
        self._repair = repair
        self._stage = _DOCUMENTS
        self._after = ""

    @property
    def done(self) -> bool:
        """True when everything has been compared."""
        return self._stage == _DONE

    def resume_from(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken, perhaps in another process.

        Raises:
            InvalidRequestError: `state` was not made by `to_state`.
        """
        try:
            stage, after = state["stage"], state["after"]
            self.report = VerifyReport(**state["report"])
        except (KeyError, TypeError) as error:
            raise InvalidRequestError(
                "verify: `continue` must be the object of the answer before, unchanged; leave it out to begin anew"
            ) from error
        if stage not in (_DOCUMENTS, _POINTS, _PHOTOS, _DONE) or not isinstance(after, str):
            raise InvalidRequestError("verify: `continue` names no stage of a comparison; leave it out to begin anew")
        self._stage, self._after = stage, after

    def to_state(self) -> dict[str, Any]:
        """Return what `resume_from` takes, as JSON."""
        return {"stage": self._stage, "after": self._after, "report": dataclasses.asdict(self.report)}

    def run(self, limit_s: float | None = None) -> VerifyReport:
        """Compare to the end, or until about `limit_s` has passed, and return what was found so far."""
        started = time.monotonic()
        while not self.done:
            self._step()
            if limit_s is not None and time.monotonic() - started > limit_s:
                break
        self.report.seconds = round(self.report.seconds + time.monotonic() - started, 3)
        return self.report

    def _step(self) -> None:
        if self._stage == _DOCUMENTS:
            page = self._documents.page(self._after, PAGE_SIZE, fields=STATE_FIELDS)
            self._compare(page)
            if len(page) < PAGE_SIZE:
                self._stage, self._after = _POINTS, ""
            else:
                self._after = page[-1]["product_id"]
        elif self._stage == _POINTS:
            points = self._owner.page(self._after or None, PAGE_SIZE)
            self._find_orphans([revision.id for revision in points])
            if len(points) < PAGE_SIZE:
                self._stage, self._after = _PHOTOS, ""
                self.report.vectors = self._owner.count()
            else:
                self._after = points[-1].id
        else:
            images = self._documents.image_page(self._after, PAGE_SIZE)
            self._find_unused(images)
            if len(images) < PAGE_SIZE:
                self._stage, self._after = _DONE, ""
            else:
                self._after = images[-1]

    def _compare(self, page: Sequence[Document]) -> None:
        for document in page:
            if document.get("pending"):
                self.report.pending += 1
            if not document.get("deleted"):
                self.report.documents += 1
                if document["encoder"] != self._documents.encoder:
                    self.report.note("wrong_encoder", document["product_id"])
        wrong = _suspects(page, self._owner.lookup([document["_id"] for document in page]))
        for _ in range(SECOND_LOOKS):
            if not wrong:
                return
            again = self._documents.read(list(wrong), STATE_FIELDS)
            wrong = _suspects(list(again.values()), self._owner.lookup(list(wrong)))
        for kind, product_id in wrong.values():
            self.report.note(kind, product_id)
        if self._repair and wrong:
            self.report.repaired += self._owner.reapply(list(wrong))

    def _find_orphans(self, ids: Sequence[str]) -> None:
        orphans = self._without_document(ids)
        if not orphans:
            return
        # A point may have gone, or its document have come, since its page was read.
        held = self._owner.lookup(orphans)
        orphans = self._without_document([id_ for id_ in orphans if id_ in held])
        for id_ in orphans:
            self.report.note("orphaned", id_)
        if self._repair and orphans:
            self.report.repaired += self._owner.reapply(orphans)

    def _find_unused(self, images: Sequence[str]) -> None:
        self.report.photos += len(images)
        unused = self._documents.unused_images(images) if images else []
        self.report.unused_photos += len(unused)
        if self._repair and unused:
            self.report.removed_photos += self._documents.remove_images(unused)

    def _without_document(self, ids: Sequence[str]) -> list[str]:
        present = self._documents.read(ids, {"_id": 1})
        return [id_ for id_ in ids if id_ not in present]


def verify(documents: DocumentStore, owner: Comparable, *, repair: bool = False) -> VerifyReport:
    """Compare both stores to the end; see Verification."""
    return Verification(documents, owner, repair=repair).run()


def _suspects(documents: Sequence[Document], held: Mapping[str, Revision]) -> dict[str, tuple[str, str]]:
    """Return kind of fault and product id by point id, for documents that are not pending and not in step."""
    found: dict[str, tuple[str, str]] = {}
    for document in documents:
        if document.get("pending") or document.get("deleted"):
            continue
        revision = held.get(document["_id"])
        if revision is None:
            kind = "missing"
        elif revision.rev != document["rev"]:
            kind = "wrong_rev"
        elif list(revision.vectors) != document.get("vectors"):
            kind = "wrong_vectors"
        else:
            continue
        found[document["_id"]] = (kind, document["product_id"])
    return found
