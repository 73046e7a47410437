"""Collections of a Qdrant server as a comparison with the documents sees them, and how each is brought in step."""

from __future__ import annotations

from collections.abc import Sequence

from product_match.documents.mongo_errors import document_errors
from product_match.documents.store import DocumentStore
from product_match.index.points import PointMaker
from product_match.index.verification import ComparedIndex
from product_match.vectors.vector_index import VectorIndex


class ServedIndex(ComparedIndex):
    """A collection that is searched, and changed by appliers in any process.

    Changing points directly could put something older over what an applier elsewhere has just written, so products
    that are out of step are marked as pending, and the applier carries them over.
    """

    def reapply(self, ids: Sequence[str]) -> int:
        """Have the applier bring the index in step with the documents of `ids`; remove points without one."""
        present = self._mark(ids)
        orphans = [id_ for id_ in ids if id_ not in present]
        self._index.delete(orphans)
        # A product may have come, and been applied, just before its point was removed.
        self._mark(orphans)
        return len(ids)

    def _mark(self, ids: Sequence[str]) -> set[str]:
        if not ids:
            return set()
        query = {"_id": {"$in": list(ids)}}
        with document_errors("marking products to be applied"):
            self._documents.products.update_many(query, {"$set": {"pending": True}})
            return {document["_id"] for document in self._documents.products.find(query, {"_id": 1})}


class UnsearchedIndex(ComparedIndex):
    """A collection that nobody searches or changes yet, brought in step directly."""

    def __init__(self, documents: DocumentStore, index: VectorIndex, points: PointMaker) -> None:
        """Compare `index`, whose points `points` makes, with `documents`."""
        super().__init__(documents, index)
        self._points = points

    def reapply(self, ids: Sequence[str]) -> int:
        """Bring the index in step with the documents of `ids`; return how many there are."""
        held = self._documents.read(ids)
        live = {id_: document for id_, document in held.items() if not document.get("deleted")}
        self._index.upsert([self._points.point(document) for document in live.values()])
        self._index.delete([id_ for id_ in ids if id_ not in live])
        return len(ids)
