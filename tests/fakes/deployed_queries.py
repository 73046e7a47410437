"""Every PromQL query in deploy/: of the dashboards' panels and of the alerts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
from promql_parser import MatchOp
from ruamel.yaml import YAML

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))


def alerts() -> list[dict[str, object]]:
    groups = YAML(typ="safe").load(RULES)["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, object]]:
    found = [panel for path in DASHBOARDS for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]]
    return [panel for panel in found if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Yield what each query is of, and its PromQL."""
    for rule in alerts():
        yield str(rule["alert"]), str(rule["expr"])
    for panel in panels():
        for target in panel["targets"]:
            # Grafana puts in four times the interval of scraping, or more.
            yield f"{panel['title']} {target['refId']}", target["expr"].replace("$__rate_interval", "1m")


def selectors(promql: str) -> list[promql_parser.VectorSelector]:
    """Return what a query asks of Prometheus; a query that is none is a ValueError."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: object) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(promql), visit)
    return found


def fits(selector: promql_parser.VectorSelector, labels: dict[str, str]) -> bool:
    """Say whether a series with these labels is one that a selector asks for."""
    for matcher in selector.matchers.matchers:
        value = labels.get(matcher.name, "")
        pattern = matcher.value if matcher.op in (MatchOp.Re, MatchOp.NotRe) else re.escape(matcher.value)
        if bool(re.fullmatch(pattern, value)) is not (matcher.op in (MatchOp.Equal, MatchOp.Re)):
            return False
    return True
