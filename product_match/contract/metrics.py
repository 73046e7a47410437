"""The metrics, declared once: what counts, what publishes, the page that lists them and the test of the live server.

Names and units are by Prometheus's conventions: seconds and bytes, `_total` for what only grows. Each label has the
values that are declared here and no others. Every series also has the label `model`: the model whose process counted.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from product_match.contract import models

PREFIX: Final = "product_match_"
MODEL_LABEL: Final = "model"


class MetricKind(enum.Enum):
    """How a metric's values are to be read."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """One metric.

    Attributes:
        name: As Prometheus has it.
        kind: How its values are to be read.
        meaning: One line for its HELP and the page of metrics.
        models: Whose processes count it.
        labels: The values of each label, besides `model`.
        buckets: Upper bounds of a histogram's buckets, the infinite one left out.
    """

    name: str
    kind: MetricKind
    meaning: str
    models: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check that the name follows the conventions, and that a histogram alone has buckets."""
        if not self.name.startswith(PREFIX):
            raise ValueError(f"metric {self.name}: a name begins with {PREFIX}")
        if self.name.endswith("_total") is not (self.kind is MetricKind.COUNTER):
            raise ValueError(f"metric {self.name}: a counter ends with _total, and nothing else does")
        if bool(self.buckets) is not (self.kind is MetricKind.HISTOGRAM):
            raise ValueError(f"metric {self.name}: a histogram has buckets, others have none")
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"metric {self.name}: buckets rise, got {self.buckets}")

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which its series are found."""
        if self.kind is MetricKind.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")
        return (self.name,)


PHOTO: Final = "photo"
WORDS: Final = "words"
PHOTO_AND_WORDS: Final = "photo_and_words"
LIKE: Final = "like"
BROWSE: Final = "browse"
KINDS: Final = (PHOTO, WORDS, PHOTO_AND_WORDS, LIKE, BROWSE)
"""What a query was made of; `like` names products, with or without photo and words, `browse` has a filter alone."""

OUTCOMES: Final = ("matched", "weak", "not_stocked", "filters_too_narrow")
STAGES: Final = (
    *("decode", "decode_large", "tokenise", "search", "rank", "join", "assess", "wider", "shape", "browse", "write"),
)
ERROR_CODES: Final = ("INVALID_ARG", "NOT_FOUND", "UNAVAILABLE", "INTERNAL")
DOCUMENTS: Final = "documents"
VECTORS: Final = "vectors"
STORES: Final = (DOCUMENTS, VECTORS)

_COUNTING: Final = (
    models.IMAGE_PREPROCESS,
    models.TEXT_PREPROCESS,
    models.IMAGE_ENCODER,
    models.TEXT_ENCODER,
    models.RETRIEVAL,
    models.INDEXING,
    models.CATALOGUE,
    models.FEEDBACK,
)

ANSWERS: Final = MetricSpec(
    name="product_match_answers_total",
    kind=MetricKind.COUNTER,
    meaning="Queries answered, by what they were made of and what came of them.",
    models=(models.RETRIEVAL,),
    labels={"kind": KINDS, "outcome": OUTCOMES},
)
ANSWER_CONFIDENCE: Final = MetricSpec(
    name="product_match_answer_confidence",
    kind=MetricKind.HISTOGRAM,
    meaning="Confidence of the first match of an answer, 0 to 1; 0 where it shows none.",
    models=(models.RETRIEVAL,),
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
)
ANSWER_RESULTS: Final = MetricSpec(
    name="product_match_answer_results",
    kind=MetricKind.HISTOGRAM,
    meaning="Matches that an answer shows.",
    models=(models.RETRIEVAL,),
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 1000),
)
STAGE_DURATION: Final = MetricSpec(
    name="product_match_stage_duration_seconds",
    kind=MetricKind.HISTOGRAM,
    meaning="Time of a stage, measured once for each batch of Triton; `decode_large` for each large photo.",
    models=(models.IMAGE_PREPROCESS, models.TEXT_PREPROCESS, models.RETRIEVAL, models.INDEXING),
    labels={"stage": STAGES},
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
FAILED_REQUESTS: Final = MetricSpec(
    name="product_match_failed_requests_total",
    kind=MetricKind.COUNTER,
    meaning="Requests that a model answered with an error, by Triton's code of it.",
    models=_COUNTING,
    labels={"code": ERROR_CODES},
)
EXPIRED_REQUESTS: Final = MetricSpec(
    name="product_match_expired_requests_total",
    kind=MetricKind.COUNTER,
    meaning="Requests that a model did not begin, as their client's deadline had passed; among the failed ones too.",
    models=tuple(model for model in _COUNTING if model not in (models.IMAGE_ENCODER, models.TEXT_ENCODER)),
)
STORE_ERRORS: Final = MetricSpec(
    name="product_match_store_errors_total",
    kind=MetricKind.COUNTER,
    meaning="Calls to a store that failed: searches and changes of vectors, reads and writes of documents.",
    models=(models.RETRIEVAL, models.INDEXING, models.CATALOGUE, models.FEEDBACK),
    labels={"store": STORES},
)
CACHE_LOOKUPS: Final = MetricSpec(
    name="product_match_cache_lookups_total",
    kind=MetricKind.COUNTER,
    meaning="Products that were looked up for answers: held in memory, read from the document store, or read past "
    "the cache, where it cannot be known to be right.",
    models=(models.RETRIEVAL,),
    labels={"result": ("hit", "miss", "bypass")},
)
CATALOGUE_PRODUCTS: Final = MetricSpec(
    name="product_match_products",
    kind=MetricKind.GAUGE,
    meaning="Products in the document store.",
    models=(models.CATALOGUE,),
)
CATALOGUE_VECTORS: Final = MetricSpec(
    name="product_match_vectors",
    kind=MetricKind.GAUGE,
    meaning="Points in the vector index; each product is one.",
    models=(models.CATALOGUE,),
)
PENDING_PRODUCTS: Final = MetricSpec(
    name="product_match_pending_products",
    kind=MetricKind.GAUGE,
    meaning="Changes of products that the vector index has not taken yet.",
    models=(models.CATALOGUE,),
)
INDEX_LAG: Final = MetricSpec(
    name="product_match_index_lag_seconds",
    kind=MetricKind.GAUGE,
    meaning="Age of the oldest of those changes, as far as the first 200 that the store gives tell; 0 where none "
    "waits.",
    models=(models.CATALOGUE,),
)
STORE_SIZE: Final = MetricSpec(
    name="product_match_store_size_bytes",
    kind=MetricKind.GAUGE,
    meaning="Bytes that a store takes on its disk; of a Qdrant server it is not known.",
    models=(models.CATALOGUE,),
    labels={"store": STORES},
)
CATALOGUE_READ: Final = MetricSpec(
    name="product_match_catalogue_read_timestamp_seconds",
    kind=MetricKind.GAUGE,
    meaning="When products, vectors, changes and sizes were last read; they are as old as that.",
    models=(models.CATALOGUE,),
)

EVENTS: Final = MetricSpec(
    name="product_match_events_total",
    kind=MetricKind.COUNTER,
    meaning="Events of answers and errors: stored, told to the log as their store was away, or dropped as too many "
    "waited.",
    models=(models.IMAGE_PREPROCESS, models.TEXT_PREPROCESS, models.RETRIEVAL, models.FEEDBACK),
    labels={"result": ("stored", "logged", "dropped")},
)

METRICS: Final = (
    ANSWERS,
    ANSWER_CONFIDENCE,
    ANSWER_RESULTS,
    STAGE_DURATION,
    FAILED_REQUESTS,
    EXPIRED_REQUESTS,
    STORE_ERRORS,
    CACHE_LOOKUPS,
    CATALOGUE_PRODUCTS,
    CATALOGUE_VECTORS,
    PENDING_PRODUCTS,
    INDEX_LAG,
    STORE_SIZE,
    CATALOGUE_READ,
    EVENTS,
)


def metrics_of(model: str) -> tuple[MetricSpec, ...]:
    """Return what the process of a model counts."""
    return tuple(spec for spec in METRICS if model in spec.models)
