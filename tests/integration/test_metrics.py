"""Every declared metric is in the live server's `/metrics`, and says what was done."""

from __future__ import annotations

import re
import time
import urllib.request

import pytest
from tritonclient.utils import InferenceServerException

from product_match.contract.metrics import METRICS, MetricKind, metrics_of
from product_match.contract.models import composing_models
from product_match.host.polling import wait_until
from product_match.triton.metrics import PERIOD_S
from tests.fakes.deployed_queries import fits, queries, selectors
from tests.fakes.encoders import encoder_spec
from tests.integration.conftest import PRODUCTS, SAMPLE, sample_products

pytestmark = pytest.mark.triton


def scrape(server, prefix="product_match_"):
    """The series of our own, by name and labels."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as answer:
        lines = re.findall(rf"^({prefix}\w+)(?:\{{(.*)\}})? (\S+)$", answer.read().decode(), re.MULTILINE)
    return {(name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels))): float(value) for name, labels, value in lines}


def total(series, name, **labels):
    found = [value for (held, those), value in series.items() if held == name and labels.items() <= set(those)]
    assert found, f"{name} {labels} is not there"
    return sum(found)


def settled(server):
    """The series once all that was done has been told; gauges go on."""
    seen = scrape(server)
    for _ in range(10):
        time.sleep(2 * PERIOD_S)
        now = scrape(server)
        if all(now[key] == value for key, value in seen.items() if ("model", "catalogue") not in key[1]):
            return now
        seen = now
    raise AssertionError("something goes on answering requests")


@pytest.fixture(scope="module")
def before(server):
    """What the metrics say of what other tests did."""
    return settled(server)


@pytest.fixture(scope="module")
def after(server, before):
    """What the metrics say after a few requests, once they have all been told."""
    product = sample_products()[0]
    photo, words = (SAMPLE / product["image"]).read_bytes(), product["name"].encode()
    server.infer("product_match_text", {"query_text": [words, words]}, top_k=3)
    server.infer("product_match_image", {"image_bytes": [photo]}, top_k=1)
    server.infer("product_match", {"image_bytes": [photo], "query_text": [words]})
    with pytest.raises(InferenceServerException):
        server.infer("product_match_image", {"image_bytes": [b"junk"]})

    def told():
        now = scrape(server)
        return (
            total(now, "product_match_answer_results_count")
            >= 4 + total(before, "product_match_answer_results_count")
            and total(now, "product_match_products") >= PRODUCTS
        )

    assert wait_until(told, 20.0)
    return settled(server)


def grown(before, after, name, **labels):
    return total(after, name, **labels) - total(before, name, **labels)


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_a_declared_metric_is_there_with_its_labels_for_each_model(after, spec):
    for series in spec.series:
        labels = [dict(those) for name, those in after if name == series]
        assert {those["model"] for those in labels} == set(spec.models)
        for those in labels:
            assert those.keys() - {"model", "le"} == spec.labels.keys()
            assert all(those[name] in values for name, values in spec.labels.items())


def test_there_is_none_that_is_not_declared(after):
    declared = {series for spec in METRICS for series in spec.series}
    assert {name for name, _ in after} == declared
    for model in composing_models(encoder_spec()):
        own = {series for spec in metrics_of(model.name) for series in spec.series}
        assert {name for name, labels in after if ("model", model.name) in labels} <= own


def test_answers_are_counted_by_kind_and_outcome(before, after):
    assert grown(before, after, "product_match_answers_total", kind="words", outcome="matched") == 2
    assert grown(before, after, "product_match_answers_total", kind="photo") == 1
    assert grown(before, after, "product_match_answers_total", kind="photo_and_words") == 1
    assert grown(before, after, "product_match_answer_results_sum") == 3 + 3 + 1 + 10


def test_every_answer_has_a_confidence_and_a_number_of_results(before, after):
    for name in ("product_match_answer_confidence", "product_match_answer_results"):
        assert grown(before, after, f"{name}_count") == 4
        assert grown(before, after, f"{name}_bucket", le="+Inf") == 4
    assert grown(before, after, "product_match_answer_confidence_bucket", le="0.1") == 0


@pytest.mark.parametrize("stage", ["decode", "tokenise", "search", "rank", "join", "assess", "wider", "shape"])
def test_every_stage_was_timed(before, after, stage):
    assert grown(before, after, "product_match_stage_duration_seconds_count", stage=stage) >= 2
    assert grown(before, after, "product_match_stage_duration_seconds_sum", stage=stage) > 0


def test_writing_was_timed(after):
    assert total(after, "product_match_stage_duration_seconds_count", stage="write", model="indexing") >= 2


def test_a_refused_request_is_counted_by_its_model_and_code(before, after):
    failed = "product_match_failed_requests_total"
    assert grown(before, after, failed, model="image_preprocess", code="INVALID_ARG") == 1
    assert grown(before, after, failed, code="INTERNAL") == 0


def test_the_catalogue_is_told(after):
    assert total(after, "product_match_products") == total(after, "product_match_vectors")
    assert total(after, "product_match_store_size_bytes", store="documents") > 10_000
    assert total(after, "product_match_store_size_bytes", store="vectors") > 10_000
    assert total(after, "product_match_catalogue_read_timestamp_seconds") > 1_700_000_000


def test_the_products_of_answers_came_from_somewhere(before, after):
    lookups = grown(before, after, "product_match_cache_lookups_total")
    assert lookups >= grown(before, after, "product_match_answer_results_sum")


def test_histograms_never_fall_from_bucket_to_bucket(after):
    for spec in METRICS:
        if spec.kind is not MetricKind.HISTOGRAM:
            continue
        rows = {}
        for (name, labels), value in after.items():
            if name == f"{spec.name}_bucket":
                those = dict(labels)
                rows.setdefault(frozenset(labels - {("le", those["le"])}), {})[float(those["le"])] = value
        for row in rows.values():
            counts = [row[bound] for bound in sorted(row)]
            assert counts == sorted(counts)


@pytest.mark.parametrize("promql", [pytest.param(promql, id=name) for name, promql in queries()])
def test_what_dashboards_and_alerts_ask_for_is_there(server, after, promql):
    there = after | scrape(server, "nv_")
    for selector in selectors(promql):
        # Prometheus makes `up` itself.
        assert selector.name == "up" or any(
            name == selector.name and fits(selector, dict(labels)) for name, labels in there
        ), f"nothing fits {selector}"
