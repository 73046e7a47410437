"""Spans of our own inside the models, below those that Triton makes of each model and request.

Triton traces in OpenTelemetry's terms and gives each request that it traces a context, which its Python backend hands
on; a span with that parent stands where the stage belongs. A request that is not traced costs nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from product_match.contract.errors import ConfigError
from product_match.telemetry.stages import RecordedStage

SERVICE: Final = "product-match"
PATH: Final = "/v1/traces"
EXPORT_S: Final = 1.0
"""How often spans are sent, in a thread; more than `MOST_WAITING` that wait are dropped."""

MOST_WAITING: Final = 4096
TRACEPARENT: Final = "traceparent"


def trace_endpoint(url: str) -> str:
    """Return where spans are sent: the URL of a receiver, with OTLP's path unless it has one.

    Raises:
        ConfigError: It is no URL of a receiver.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"the receiver of traces must be a URL of OTLP over HTTP such as http://localhost:4318, got `{url}`"
        )
    return url if parts.path.strip("/") else f"{url.rstrip('/')}{PATH}"


class SpanTracer:
    """Makes the spans of one model's process, and sends them."""

    def __init__(self, url: str, model: str) -> None:
        """Send to the receiver at `url`.

        Raises:
            ConfigError: It is no URL of a receiver, or what sends spans is not installed.
        """
        endpoint = trace_endpoint(url)
        try:
            from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"traces need more than is installed ({error}); run `pip install product-match[tracing]`"
            ) from error
        self._provider = TracerProvider(
            resource=Resource({"service.name": SERVICE, "product_match.model": model}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(endpoint=endpoint),
                max_queue_size=MOST_WAITING,
                schedule_delay_millis=EXPORT_S * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("product_match")

    def record(
        self, parents: Sequence[str], stages: Sequence[RecordedStage], attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Make a span of each stage below each parent.

        Args:
            parents: `traceparent` of each traced request of the batch.
            stages: What was done for the batch.
            attributes: Of each span.
        """
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        for parent in parents:
            context = TraceContextTextMapPropagator().extract({TRACEPARENT: parent})
            for stage in stages:
                span = self._tracer.start_span(
                    stage.name, context, attributes=dict(attributes or {}), start_time=stage.started_ns
                )
                span.end(stage.ended_ns)

    def close(self) -> None:
        """Send what waits, and stop."""
        self._provider.shutdown()
