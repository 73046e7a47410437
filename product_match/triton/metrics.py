"""Carries what a model's process counts into Triton's `/metrics`.

Each call to Triton's metrics crosses to its process and back (36 us when idle), and in a process that is busy it
waits for the interpreter as well. So nothing on the way of a request calls it: a thread does, once a second, and only
for series that have changed. A histogram of Triton's takes one observation a call, which would be three calls for
each query; as counters with the names and the label `le` of a histogram's series, any number of observations is one
call for each bucket. Prometheus and Grafana read them as they read a histogram.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry

from product_match.contract.metrics import MODEL_LABEL, MetricKind, MetricSpec, metrics_of
from product_match.telemetry.meters import REGISTRY

LOGGER = logging.getLogger(__name__)

PERIOD_S: Final = 1.0
_CLOSE_WAIT_S: Final = 5.0

Labels = tuple[tuple[str, str], ...]


class MetricPublisher:
    """Publishes what one model's process counts, until closed."""

    def __init__(
        self, pb_utils: Any, model: str, registry: CollectorRegistry = REGISTRY, period_s: float = PERIOD_S
    ) -> None:
        """Publish what `model` counts, every `period_s` seconds once it is started."""
        self._pb_utils = pb_utils
        self._model = model
        self._registry = registry
        self._period_s = period_s
        self._specs = {name: spec for spec in metrics_of(model) for name in spec.series}
        self._families: dict[str, Any] = {}
        self._series: dict[tuple[str, Labels], Any] = {}
        self._told: dict[tuple[str, Labels], float] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Make every series, so that a rate has a zero to begin with, and go on in a thread."""
        if self._publish_or_stop():
            self._thread.start()

    def close(self) -> None:
        """Tell what has not been told, and stop; a second call does nothing."""
        if self._closing.is_set() or not self._thread.is_alive():
            return
        self._closing.set()
        self._thread.join(_CLOSE_WAIT_S)

    def publish(self) -> None:
        """Tell Triton what has changed.

        Raises:
            pb_utils.TritonModelException: Triton takes no metrics.
        """
        for name, labels, value in self._counted():
            key = (name, labels)
            if key not in self._series:
                self._series[key] = self._family(name).Metric(labels=dict(labels))
                self._told[key] = 0.0
            if value == self._told[key]:
                continue
            if self._specs[name].kind is MetricKind.GAUGE:
                self._series[key].set(value)
            else:
                self._series[key].increment(value - self._told[key])
            self._told[key] = value

    def _counted(self) -> Iterator[tuple[str, Labels, float]]:
        for family in self._registry.collect():
            for sample in family.samples:
                # A gauge that has not been read is no number yet.
                if sample.name in self._specs and sample.value == sample.value:
                    yield sample.name, ((MODEL_LABEL, self._model), *sample.labels.items()), sample.value

    def _family(self, name: str) -> Any:
        if name not in self._families:
            make, spec = self._pb_utils.MetricFamily, self._specs[name]
            kind = make.GAUGE if spec.kind is MetricKind.GAUGE else make.COUNTER
            self._families[name] = make(name=name, description=_help(spec, name), kind=kind)
        return self._families[name]

    def _publish_or_stop(self) -> bool:
        try:
            self.publish()
        except self._pb_utils.TritonModelException as error:
            # To serve without metrics is better than not to serve.
            LOGGER.warning("%s: Triton takes no metrics (%s): none are told from now on", self._model, error)
            return False
        return True

    def _run(self) -> None:
        while not self._closing.wait(self._period_s):
            if not self._publish_or_stop():
                return
        self._publish_or_stop()


def _help(spec: MetricSpec, series: str) -> str:
    """Return the HELP of one series of a metric."""
    what = series.removeprefix(spec.name)
    of = {"_bucket": "Observations up to `le` of: ", "_count": "Observations of: ", "_sum": "Sum of: "}
    return of.get(what, "") + spec.meaning
