"""What a model's process tells of itself: its metrics always where they are wanted, its spans where traces are."""

from __future__ import annotations

import json
from typing import Any

from product_match.settings import ServingSettings
from product_match.telemetry.spans import TRACEPARENT, SpanTracer
from product_match.triton.logs import log_json_lines
from product_match.triton.metrics import MetricPublisher


class Observation:
    """Tells until closed.

    Attributes:
        tracer: Makes spans; None where no traces are wanted.
    """

    def __init__(self, publisher: MetricPublisher | None, tracer: SpanTracer | None) -> None:
        """Tell through both."""
        self.tracer = tracer
        self._publisher = publisher

    def close(self) -> None:
        """Tell what has not been told, and stop."""
        if self._publisher is not None:
            self._publisher.close()
        if self.tracer is not None:
            self.tracer.close()


def observe(pb_utils: Any, model: str, settings: ServingSettings) -> Observation:
    """Begin to tell of the process of a model.

    Raises:
        ConfigError: Traces are wanted, and cannot be sent.
    """
    if settings.observe:
        log_json_lines(model, settings.log_level)
    tracer = SpanTracer(settings.trace_url, model) if settings.trace_url else None
    publisher = MetricPublisher(pb_utils, model) if settings.observe else None
    if publisher is not None:
        publisher.start()
    return Observation(publisher, tracer)


def trace_parent(request: Any) -> str | None:
    """Return the `traceparent` of a request that Triton traces; None for one that it does not.

    Not in the Python backend's documentation: `InferenceRequest.trace().get_context()` is JSON, or None (24.08).
    """
    context = request.trace().get_context()
    parent = json.loads(context).get(TRACEPARENT) if context else None
    return parent if isinstance(parent, str) else None
