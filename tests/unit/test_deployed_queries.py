"""Dashboards and alerts ask only for what is declared, and every alert is explained.

That what they ask for is there is compared with the live server in tests/integration/test_metrics.py.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from product_match.contract.metrics import METRICS, MODEL_LABEL
from tests.fakes.deployed_queries import DASHBOARDS, DEPLOY, alerts, fits, panels, queries, selectors

PROJECT = Path(__file__).parents[2]
SERIES = {series: spec for spec in METRICS for series in spec.series}
ASKED = [pytest.param(promql, id=name) for name, promql in queries()]
# What Prometheus puts to a series itself, or Triton to its own.
OTHERS = {MODEL_LABEL, "le", "instance", "job", "quantile"}


@pytest.mark.parametrize("promql", ASKED)
def test_a_query_asks_for_what_is_declared(promql):
    asked = selectors(promql)
    assert asked
    for selector in asked:
        if not selector.name.startswith("product_match_"):
            assert selector.name == "up" or selector.name.startswith("nv_")
            continue
        spec = SERIES[selector.name]
        for matcher in selector.matchers.matchers:
            assert matcher.name in spec.labels, f"{selector.name} has no label {matcher.name}"
        known = [dict(zip(spec.labels, values, strict=True)) for values in itertools.product(*spec.labels.values())]
        assert any(fits(selector, labels) for labels in known), f"nothing fits {selector}"


@pytest.mark.parametrize("promql", ASKED)
def test_a_query_groups_by_labels_that_there_are(promql):
    labels = {name for spec in METRICS for name in spec.labels} | OTHERS
    for named in re.findall(r"\b(?:by|ignoring|on|without) \(([^)]*)\)", promql):
        assert {name.strip() for name in named.split(",")} <= labels


def test_a_query_that_is_none_or_asks_for_what_is_not_there_is_noticed():
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        selectors("sum by (kind (rate(product_match_answers_total[5m]))")
    (wrong,) = selectors('product_match_answers_total{outcome="found"}')
    assert not fits(wrong, {"kind": "words", "outcome": "matched"})
    (other,) = selectors('product_match_answers_total{outcome!~"matched|weak",kind!="photo"}')
    assert fits(other, {"kind": "words", "outcome": "not_stocked"})
    assert not fits(other, {"kind": "photo", "outcome": "not_stocked"})


def test_every_declared_metric_is_on_a_dashboard_or_in_an_alert():
    asked = {selector.name for _, promql in queries() for selector in selectors(promql)}
    assert {spec.name for spec in METRICS if not asked & set(spec.series)} == set()


def test_the_legend_of_a_panel_names_labels_that_its_query_keeps():
    for panel in panels():
        for target in panel["targets"]:
            for name in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{name}\b", target["expr"]), panel["title"]


def test_panels_do_not_overlap_and_have_numbers_of_their_own():
    for path in DASHBOARDS:
        shown = json.loads(path.read_text(encoding="utf-8"))["panels"]
        assert len({panel["id"] for panel in shown}) == len(shown)
        for one, other in itertools.combinations([panel["gridPos"] for panel in shown], 2):
            apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_every_alert_says_how_urgent_it_is_and_is_explained_on_the_page():
    page = (PROJECT / "docs" / "operate.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(ProductMatch\w+)` \| (page|ticket) \|", page, re.MULTILINE)
    assert explained == [(rule["alert"], rule["labels"]["severity"]) for rule in alerts()]
    assert all(rule["annotations"]["summary"] for rule in alerts())


def test_what_compose_mounts_is_there_and_leads_from_one_to_the_other():
    compose = YAML(typ="safe").load(PROJECT / "docker-compose.yml")
    for name in ("prometheus", "grafana"):
        for volume in compose["services"][name]["volumes"]:
            source = volume.split(":")[0]
            assert source in compose["volumes"] or any((PROJECT / source).iterdir())
    scraping = YAML(typ="safe").load(DEPLOY / "prometheus" / "prometheus.yml")
    ((target,),) = [group["targets"] for group in scraping["scrape_configs"][0]["static_configs"]]
    for name in ("triton", "triton-cpu"):
        assert target == f"{compose['services'][name]['networks']['clients']['aliases'][0]}:8002"
    assert scraping["scrape_configs"][0]["job_name"] == "product-match"
    source = YAML(typ="safe").load(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
