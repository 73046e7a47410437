"""The meters of this process, one for each declared metric; to count is a microsecond, and never waits for Triton."""

from __future__ import annotations

import math
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from product_match.contract import metrics
from product_match.contract.metrics import MetricSpec

REGISTRY: Final = CollectorRegistry()
"""Of this process; libraries that count for themselves keep theirs elsewhere."""


def _counter(spec: MetricSpec) -> Counter:
    return Counter(spec.name, spec.meaning, tuple(spec.labels), registry=REGISTRY)


def _gauge(spec: MetricSpec) -> Gauge:
    gauge = Gauge(spec.name, spec.meaning, tuple(spec.labels), registry=REGISTRY)
    if not spec.labels:
        gauge.set(math.nan)  # unknown until it is read
    return gauge


def _histogram(spec: MetricSpec) -> Histogram:
    return Histogram(spec.name, spec.meaning, tuple(spec.labels), buckets=spec.buckets, registry=REGISTRY)


ANSWERS: Final = _counter(metrics.ANSWERS)
ANSWER_CONFIDENCE: Final = _histogram(metrics.ANSWER_CONFIDENCE)
ANSWER_RESULTS: Final = _histogram(metrics.ANSWER_RESULTS)
STAGE_DURATION: Final = _histogram(metrics.STAGE_DURATION)
FAILED_REQUESTS: Final = _counter(metrics.FAILED_REQUESTS)
EXPIRED_REQUESTS: Final = _counter(metrics.EXPIRED_REQUESTS)
STORE_ERRORS: Final = _counter(metrics.STORE_ERRORS)
CACHE_LOOKUPS: Final = _counter(metrics.CACHE_LOOKUPS)
CATALOGUE_PRODUCTS: Final = _gauge(metrics.CATALOGUE_PRODUCTS)
CATALOGUE_VECTORS: Final = _gauge(metrics.CATALOGUE_VECTORS)
PENDING_PRODUCTS: Final = _gauge(metrics.PENDING_PRODUCTS)
INDEX_LAG: Final = _gauge(metrics.INDEX_LAG)
STORE_SIZE: Final = _gauge(metrics.STORE_SIZE)
CATALOGUE_READ: Final = _gauge(metrics.CATALOGUE_READ)
EVENTS: Final = _counter(metrics.EVENTS)
