"""Metrics are declared by Prometheus's conventions, counted in this process, and told Triton only as they change."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from product_match.contract import metrics
from product_match.contract.metrics import METRICS, MetricKind, MetricSpec, metrics_of
from product_match.repository.tables import TABLES
from product_match.telemetry import meters
from product_match.triton.metrics import MetricPublisher
from tests.fakes import pb_utils
from tests.fakes.encoders import encoder_spec


def spec(**changes):
    fields = {"name": "product_match_x_total", "kind": MetricKind.COUNTER, "meaning": "Xs.", "models": ("retrieval",)}
    return MetricSpec(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "x_total"}, "metric x_total: a name begins with product_match_"),
        ({"name": "product_match_x"}, "metric product_match_x: a counter ends with _total, and nothing else does"),
        ({"kind": MetricKind.GAUGE}, "a counter ends with _total, and nothing else does"),
        ({"buckets": (1.0,)}, "a histogram has buckets, others have none"),
        ({"name": "product_match_x", "kind": MetricKind.HISTOGRAM}, "a histogram has buckets, others have none"),
        (
            {"name": "product_match_x", "kind": MetricKind.HISTOGRAM, "buckets": (2.0, 1.0)},
            r"buckets rise, got \(2.0, 1.0\)",
        ),
    ],
)
def test_a_declaration_against_the_conventions_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        spec(**changes)


def test_every_declared_metric_has_a_meter_and_a_line_on_the_page():
    families = {family.name: family for family in meters.REGISTRY.collect()}
    page = TABLES["metrics"](encoder_spec())
    for declared in METRICS:
        assert families[declared.name.removesuffix("_total")].type == declared.kind.value
        assert f"`{declared.name}`" in page
    assert len(families) == len(METRICS)


def test_units_are_the_conventions_own():
    for declared in METRICS:
        words = declared.name.removesuffix("_total").split("_")
        assert not {"ms", "milliseconds", "us", "kb", "mb", "percent"} & set(words), declared.name


def test_a_label_has_no_values_that_are_not_declared():
    declared = {each.name.removesuffix("_total"): each for each in METRICS}
    for family in meters.REGISTRY.collect():
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            assert labels.keys() == declared[family.name].labels.keys()
            assert all(value in declared[family.name].labels[name] for name, value in labels.items()), sample


@pytest.fixture
def counted():
    """A registry like the process's own, with one metric of each kind that `retrieval` counts."""
    registry = CollectorRegistry()
    return SimpleNamespace(
        registry=registry,
        answers=Counter(metrics.ANSWERS.name, "", ("kind", "outcome"), registry=registry),
        results=Histogram(metrics.ANSWER_RESULTS.name, "", buckets=(0, 1, 2), registry=registry),
        other=Counter(metrics.STAGE_DURATION.name, "", registry=registry),
    )


def told():
    """What Triton has been told, by series and labels."""
    return {
        (family.name, *(f"{name}={value}" for name, value in metric.labels.items())): metric.value
        for family in pb_utils.MetricFamily.all
        for metric in family.metrics
    }


@pytest.fixture(autouse=True)
def families():
    pb_utils.MetricFamily.all.clear()
    yield pb_utils.MetricFamily.all
    pb_utils.MetricFamily.all.clear()


def test_what_has_changed_is_told_with_its_model_and_nothing_twice(counted, families):
    publisher = MetricPublisher(pb_utils, "retrieval", counted.registry)
    counted.answers.labels("photo", "weak").inc(3)
    publisher.publish()
    series = ("product_match_answers_total", "model=retrieval", "kind=photo", "outcome=weak")
    assert told()[series] == 3
    calls = [metric.calls for family in families for metric in family.metrics]
    publisher.publish()
    assert [metric.calls for family in families for metric in family.metrics] == calls
    counted.answers.labels("photo", "weak").inc()
    publisher.publish()
    assert told()[series] == 4


def test_a_histogram_is_told_as_the_series_of_one(counted, families):
    publisher = MetricPublisher(pb_utils, "retrieval", counted.registry)
    for shown in (0, 1, 1, 9):
        counted.results.observe(shown)
    publisher.publish()
    name = "product_match_answer_results"
    buckets = {key[2]: value for key, value in told().items() if key[0] == f"{name}_bucket"}
    assert buckets == {"le=0.0": 1, "le=1.0": 3, "le=2.0": 3, "le=+Inf": 4}
    assert told()[f"{name}_count", "model=retrieval"] == 4
    assert told()[f"{name}_sum", "model=retrieval"] == 11
    (help_text,) = [family.description for family in families if family.name == f"{name}_bucket"]
    assert help_text == "Observations up to `le` of: Matches that an answer shows."


def test_every_series_begins_with_a_zero_and_a_model_tells_its_own_only(counted):
    counted.answers.labels("words", "matched")
    MetricPublisher(pb_utils, "retrieval", counted.registry).publish()
    assert told()["product_match_answers_total", "model=retrieval", "kind=words", "outcome=matched"] == 0
    pb_utils.MetricFamily.all.clear()
    MetricPublisher(pb_utils, "text_encoder", counted.registry).publish()
    assert told() == {}


def test_a_gauge_is_told_once_it_is_known():
    registry = CollectorRegistry()
    gauge = Gauge(metrics.CATALOGUE_PRODUCTS.name, "", registry=registry)
    gauge.set(math.nan)
    publisher = MetricPublisher(pb_utils, "catalogue", registry)
    publisher.publish()
    assert told() == {}
    for products in (205, 3):
        gauge.set(products)
        publisher.publish()
        assert told() == {("product_match_products", "model=catalogue"): products}


def test_the_thread_tells_what_is_counted_until_the_end(counted):
    publisher = MetricPublisher(pb_utils, "retrieval", counted.registry, period_s=0.01)
    publisher.start()
    counted.answers.labels("photo", "weak").inc()
    publisher.close()
    publisher.close()
    assert told()["product_match_answers_total", "model=retrieval", "kind=photo", "outcome=weak"] == 1
    assert not publisher._thread.is_alive()


def test_a_triton_without_metrics_is_served_all_the_same(counted, caplog):
    class Refusing(pb_utils.MetricFamily):
        def __init__(self, **_):
            raise pb_utils.TritonModelException("metrics are off")

    refusing = SimpleNamespace(MetricFamily=Refusing, TritonModelException=pb_utils.TritonModelException)
    publisher = MetricPublisher(refusing, "retrieval", counted.registry, period_s=0.01)
    counted.answers.labels("photo", "weak").inc()
    publisher.start()
    publisher.close()
    assert caplog.messages == [
        "retrieval: Triton takes no metrics (metrics are off): none are told from now on",
    ]


def test_a_triton_that_stops_taking_metrics_is_told_no_more(counted, caplog, monkeypatch):
    publisher = MetricPublisher(pb_utils, "retrieval", counted.registry, period_s=0.01)
    publisher.start()

    def refuse(self, value):
        raise pb_utils.TritonModelException("gone")

    monkeypatch.setattr(pb_utils.Metric, "increment", refuse)
    counted.results.observe(1)
    publisher._thread.join(10)
    assert not publisher._thread.is_alive()
    assert caplog.messages == ["retrieval: Triton takes no metrics (gone): none are told from now on"]


def test_each_model_counts_its_failed_requests():
    for model in ("image_preprocess", "retrieval", "catalogue"):
        assert metrics.FAILED_REQUESTS in metrics_of(model)
