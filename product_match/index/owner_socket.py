"""The Unix socket on which the owner of the index answers the other processes of the same server."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import (
    ConfigError,
    InvalidRequestError,
    ProductMatchError,
    UnavailableError,
    error_classes,
)
from product_match.index.frames import receive_frame, send_frame
from product_match.index.owner import IndexOwner
from product_match.vectors.vector_index import Revision

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 0.5
_IDLE_TIMEOUT_S: Final = 30.0
_ERRORS: Final = {error.__name__: error for error in error_classes()}


class OwnerServer:
    """Answers on `path` for `owner` until closed; each connection has a thread."""

    def __init__(self, path: Path, owner: IndexOwner) -> None:
        """Take over the socket file; only the process that holds the index may do that.

        Raises:
            ConfigError: The socket file cannot be made.
        """
        self._path = path
        self._server = _Server(owner)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            with short_address(path) as address:
                self._server.socket.bind(address)
            path.chmod(0o600)
            self._server.server_activate()
        except OSError as error:
            self._server.server_close()
            raise ConfigError(
                f"owner socket {path} cannot be made ({error.strerror}); check that its directory can be written"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="owner-socket", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering and remove the socket file."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


class OwnerClient:
    """The owner as another process sees it; each call has its own connection, so threads do not wait for another."""

    def __init__(self, path: Path) -> None:
        """Talk to the owner that answers on `path`; it need not be there yet."""
        self._path = path

    def wake(self) -> None:
        """Ask for pending products to be applied now."""
        try:
            self._call("wake", timeout_s=CONNECT_TIMEOUT_S)
        except ProductMatchError as error:
            # The applier polls, so a wake-up that is lost costs a fraction of a second and no product.
            logger.debug("the owner of the index was not woken: %s", error)

    def wait_applied(self, revs: Mapping[str, int], timeout_s: float) -> dict[str, int]:
        """Wait until products can be found."""
        answer = self._call("wait_applied", timeout_s=timeout_s + CALL_TIMEOUT_S, revs=dict(revs), limit_s=timeout_s)
        return {str(id_): int(rev) for id_, rev in answer.items()}

    def count(self) -> int:
        """Return how many points the index holds."""
        return int(self._call("count"))

    def lookup(self, ids: Sequence[str]) -> dict[str, Revision]:
        """Return what the index holds of `ids`."""
        found = [_revision(item) for item in self._call("lookup", ids=list(ids))]
        return {revision.id: revision for revision in found}

    def page(self, after: str | None, limit: int) -> list[Revision]:
        """Return up to `limit` revisions above `after`."""
        return [_revision(item) for item in self._call("page", after=after, limit=limit)]

    def reapply(self, ids: Sequence[str]) -> int:
        """Bring the index in step with the documents of `ids`."""
        return int(self._call("reapply", timeout_s=60.0, ids=list(ids)))

    def status(self) -> dict[str, Any]:
        """Return what a person wants to know of the index."""
        return dict(self._call("status"))

    def rebuild(self) -> dict[str, Any]:
        """Start to derive a fresh index from the documents."""
        return dict(self._call("rebuild"))

    def drop(self) -> int:
        """Remove every product from both stores."""
        return int(self._call("drop", timeout_s=60.0))

    def close(self) -> None:
        """Nothing is kept open between calls."""

    def _call(self, operation: str, *, timeout_s: float = CALL_TIMEOUT_S, **arguments: object) -> Any:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(CONNECT_TIMEOUT_S)
                with short_address(self._path) as address:
                    connection.connect(address)
                connection.settimeout(timeout_s)
                send_frame(connection, {"operation": operation, "arguments": arguments})
                answer = receive_frame(connection)
        except OSError as error:
            raise UnavailableError(
                f"the process that owns the vector index does not answer on {self._path} ({error}); it may be "
                "starting, try again"
            ) from error
        if answer is None:
            raise UnavailableError("the process that owns the vector index stopped during the call; try again")
        if "error" in answer:
            raise _ERRORS.get(answer["error"], ProductMatchError)(answer["message"])
        return answer["result"]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, owner: IndexOwner) -> None:
        super().__init__("", _Handler, bind_and_activate=False)
        self.owner = owner


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(_IDLE_TIMEOUT_S)
        try:
            while (message := receive_frame(self.request)) is not None:
                send_frame(self.request, self._answer(message))
        except (OSError, ProductMatchError) as error:
            logger.debug("a connection to the owner socket ended: %s", error)

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": _perform(self.server.owner, message.get("operation"), message.get("arguments") or {})}
        except ProductMatchError as error:
            return {"error": type(error).__name__, "message": str(error)}
        except Exception:
            logger.exception("the owner of the index failed at %s", message.get("operation"))
            return {"error": ProductMatchError.__name__, "message": "internal error; see the server log"}


def _perform(owner: IndexOwner, operation: object, arguments: dict[str, Any]) -> Any:
    perform = _OPERATIONS.get(operation) if isinstance(operation, str) else None
    if perform is None:
        raise InvalidRequestError(f"the owner of the index knows no operation {operation!r:.80}")
    return perform(owner, **arguments)


def _page(owner: IndexOwner, after: str | None, limit: int) -> list[Any]:
    return [dataclasses.astuple(revision) for revision in owner.page(after, limit)]


def _lookup(owner: IndexOwner, ids: list[str]) -> list[Any]:
    return [dataclasses.astuple(revision) for revision in owner.lookup(ids).values()]


_OPERATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "wake": lambda owner: owner.wake(),
    "wait_applied": lambda owner, revs, limit_s: owner.wait_applied(revs, limit_s),
    "count": lambda owner: owner.count(),
    "lookup": _lookup,
    "page": _page,
    "reapply": lambda owner, ids: owner.reapply(ids),
    "status": lambda owner: owner.status(),
    "rebuild": lambda owner: owner.rebuild(),
    "drop": lambda owner: owner.drop(),
}


@contextlib.contextmanager
def short_address(path: Path) -> Iterator[str]:
    """Yield an address for a Unix socket, whose own limit of 107 bytes a path under a long directory exceeds."""
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def _revision(item: Sequence[Any]) -> Revision:
    id_, rev, vectors = item
    return Revision(str(id_), int(rev), tuple(vectors))
