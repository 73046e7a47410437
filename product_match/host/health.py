"""Liveness and readiness over HTTP, for whoever starts containers: `/live` and `/ready`.

They differ in what is to be done. What is not live is ended and started again. What is not ready gets no requests and
is else left alone: a store that is away does not come back by a restart.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

from product_match.contract.errors import StackError

STALE_S: Final = 60.0
"""Who has not reported for so long hangs, and what it last said counts no more."""


class HealthServer:
    """Answers on a port what was reported last, in a thread."""

    def __init__(
        self, address: str, port: int, clock: Callable[[], float] = time.monotonic, stale_s: float = STALE_S
    ) -> None:
        """Listen, not ready yet; port 0 takes a free one.

        Raises:
            StackError: The port cannot be used.
        """
        self._clock, self._stale_s = clock, stale_s
        self._report: tuple[float, tuple[str, ...]] = (clock(), ("starting",))
        try:
            self._server = ThreadingHTTPServer((address, port), _handler(self))
        except OSError as error:
            raise StackError(
                f"port {port} for health cannot be used ({error.strerror}); give another with --health-port"
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def __enter__(self) -> HealthServer:
        """Return the server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def report(self, reasons: Sequence[str]) -> None:
        """Say why this is not ready; nothing is ready. Whoever stops reporting is not live."""
        self._report = (self._clock(), tuple(reasons))

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of the answer to a question."""
        at, reasons = self._report
        silent_s = self._clock() - at
        if silent_s > self._stale_s:
            reasons = (f"what looks after Triton has not reported for {silent_s:.0f} s",)
        if path == "/live":
            live = silent_s <= self._stale_s
            return (200 if live else 503), {"live": live, **({} if live else {"reasons": list(reasons)})}
        if path == "/ready":
            return (503 if reasons else 200), {
                "ready": not reasons,
                **({"reasons": list(reasons)} if reasons else {}),
            }
        return 404, {"error": "ask for /live or /ready"}


def _handler(health: HealthServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0
        server_version = "product-match"
        sys_version = ""

        def do_GET(self) -> None:
            status, body = health.answer(self.path.partition("?")[0])
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: it is asked every few seconds."""

    return Handler
