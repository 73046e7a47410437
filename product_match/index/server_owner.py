"""The owner as each process has it with a Qdrant server, where no process owns the index alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from product_match.documents.store import DocumentStore
from product_match.host.polling import wait_until
from product_match.index.applier import Applier
from product_match.index.rebuilding import Rebuilder
from product_match.index.server_comparison import ServedIndex
from product_match.vectors.server_index import ServerIndex

WAIT_POLL_S: Final = 0.05


class ServerOwner(ServedIndex):
    """An IndexOwner over a Qdrant server."""

    def __init__(
        self, documents: DocumentStore, index: ServerIndex, rebuilder: Rebuilder, applier: Applier | None = None
    ) -> None:
        """Answer for `index`; `applier` is the one of this process, if it has one."""
        super().__init__(documents, index)
        self._applier = applier
        self._rebuilder = rebuilder

    def wake(self) -> None:
        """Apply pending products now, where this process does; elsewhere the applier looks soon."""
        if self._applier is not None:
            self._applier.wake()

    def wait_applied(self, revs: Mapping[str, int], timeout_s: float) -> dict[str, int]:
        """Wait until products can be found, whichever process applies them."""
        self.wake()
        waiting = dict(revs)

        def applied() -> bool:
            nonlocal waiting
            waiting = self._documents.still_pending(waiting)
            return not waiting

        wait_until(applied, timeout_s, poll_s=WAIT_POLL_S)
        return waiting

    def status(self) -> dict[str, Any]:
        """Return kind and size of the index, and what troubles the applier of this process."""
        return {
            "vector_index": "server",
            "encoder": self._documents.encoder,
            "points": self._index.count(),
            "pending": self._documents.count_pending(),
            "trouble": self._applier.trouble if self._applier is not None else None,
            "rebuild": self._rebuilder.state(),
        }

    def rebuild(self) -> dict[str, Any]:
        """Start to derive a fresh collection from the documents."""
        return self._rebuilder.start()

    def drop(self) -> int:
        """Remove every product from both stores."""
        return self._rebuilder.drop()

    def close(self) -> None:
        """Stop a rebuild and the applier of this process."""
        self._rebuilder.close()
        if self._applier is not None:
            self._applier.close()
