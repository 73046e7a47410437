"""A receiver of traces: OTLP over HTTP as JSON, which is what Triton and the models send."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from product_match.host.polling import wait_until


@dataclass(frozen=True)
class Span:
    name: str
    trace: str
    id: str
    parent: str
    service: str
    attributes: dict[str, Any]
    started_ns: int
    ended_ns: int


class TraceReceiver:
    """Receives on a free port of the loopback interface until the block ends."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/v1/traces" or self.headers["Content-Type"] != "application/json":
                    self.send_error(400)
                    return
                receiver.take(body)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> TraceReceiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, body: dict[str, Any]) -> None:
        found = []
        for resource in body["resourceSpans"]:
            of = _attributes(resource["resource"])
            for scope in resource["scopeSpans"]:
                found += [_span(span, of.get("service.name", "")) for span in scope["spans"]]
        with self._lock:
            self._spans += found

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace that have come, the earliest first."""
        with self._lock:
            return sorted((span for span in self._spans if span.trace == trace_id), key=lambda span: span.started_ns)

    def wait_for(self, trace_id: str, *names: str, timeout_s: float = 20.0) -> list[Span]:
        """Return the spans of a trace once spans of these names are among them."""
        assert wait_until(lambda: set(names) <= {span.name for span in self.trace(trace_id)}, timeout_s), (
            f"{set(names) - {span.name for span in self.trace(trace_id)}} did not come"
        )
        return self.trace(trace_id)


def _span(span: dict[str, Any], service: str) -> Span:
    return Span(
        name=span["name"],
        trace=span["traceId"],
        id=span["spanId"],
        parent=span.get("parentSpanId", ""),
        service=service,
        attributes=_attributes(span),
        started_ns=int(span["startTimeUnixNano"]),
        ended_ns=int(span["endTimeUnixNano"]),
    )


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in holder.get("attributes", ())}


def as_text(spans: list[Span]) -> str:
    """Return a trace as an indented list of names and milliseconds."""
    first = min(span.started_ns for span in spans)
    known = {span.id for span in spans}

    def lines(parents: set[str], depth: int) -> list[str]:
        found = []
        for span in spans:
            if (span.parent if span.parent in known else "") in parents:
                begun, took = (span.started_ns - first) / 1e6, (span.ended_ns - span.started_ns) / 1e6
                found.append(f"{'  ' * depth}{span.name}  +{begun:.1f} ms  {took:.1f} ms")
                found += lines({span.id}, depth + 1)
        return found

    return "\n".join(lines({""}, 0))
