"""Dashboard, alert rules and docs/metrics.md know only metrics that exist, and all of them."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from consumers.metrics import Metrics
from deploy.exporter import Plant
from notify.metrics import Metrics as SenderMetrics
from serving import metrics as serving_metrics
from tests.fixtures.tools import needs
from tests.unit.metric_names import ROOT, Metric, defined

RULES = ROOT / "deploy/prometheus/alerts.yml"
SCRAPE = ROOT / "deploy/prometheus/prometheus.yml"
DASHBOARD = ROOT / "deploy/grafana/dashboards/anomalies.json"
PROVISIONING = ROOT / "deploy/grafana/provisioning"
#: Added by Prometheus when it scrapes, or by a histogram.
ADDED_LABELS = {"job", "instance", "le"}
#: What the alerts must cover, by a word of the alert's expression.
NEEDED = {
    "lag": "bridge_lag",
    "dead letters": "bridge_dead_letters_total",
    "silent streams": "plant_streams_silent",
    "alarm rate over budget": "plant_alarm_budget",
    "drift": "model_features_shifted",
    "model age": "model_trained_timestamp_seconds",
    "paused bridge": "bridge_state",
    "receivers that fail": "notify_failing",
    "nobody sends": "plant_notifications_oldest_seconds",
}

METRICS: dict[str, Metric] = {series: metric for metric in defined() for series in metric.series}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Where it stands -> PromQL, Grafana's variables replaced by what they become."""
    out = {f"alert {rule['alert']}": rule["expr"] for rule in alerts()}
    for panel in panels():
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", "5m")
            out[f"panel {panel['title']} {target['refId']}"] = expr
    return out


def parts(expr: str) -> tuple[list[promql_parser.VectorSelector], set[str]]:
    """The selectors of an expression, and the labels it groups or matches by."""
    selectors: list[promql_parser.VectorSelector] = []
    labels: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            selectors.append(node)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            labels.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(expr), pre_visit=visit)
    return selectors, labels


@pytest.mark.parametrize(("where", "expr"), expressions().items(), ids=list(expressions()))
def test_expression_uses_metrics_and_labels_that_exist(where: str, expr: str) -> None:
    selectors, grouped = parts(expr)
    assert selectors, f"{where} selects nothing"
    known = set(ADDED_LABELS)
    for selector in selectors:
        if selector.name == "up":
            continue
        assert selector.name in METRICS, f"{where}: no metric is called {selector.name}"
        labels = METRICS[selector.name].labels | ADDED_LABELS
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= labels, f"{where}: {selector.name} has no label {matched - labels}"
        known |= labels
    assert grouped <= known, f"{where} groups by {grouped - known}, which no selector has"


def test_sources_and_registries_name_the_same_metrics() -> None:
    # The reading of the sources is itself checked against what is really exported.
    registries = (Metrics().registry, Plant({}).registry, SenderMetrics().registry)
    scraped = {family.name for registry in registries for family in registry.collect()}
    scraped |= {
        value._name
        for value in vars(serving_metrics).values()
        if isinstance(value, MetricWrapperBase)
    }
    read = {
        m.name.removesuffix("_total")
        for m in defined()
        if m.where.endswith("/metrics.py") or m.where == "deploy/exporter.py"
    }
    assert read == {name.removesuffix("_total") for name in scraped}


def test_metrics_are_documented_one_row_each() -> None:
    table = (ROOT / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", table, re.MULTILINE)
    rows = [row for row in rows if row[1] not in {"run", "detector"}]  # MLflow's, not scraped
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    twice = [name for name, n in Counter(name for name, _, _ in rows).items() if n > 1]
    assert not twice
    assert documented == {
        m.documented: (m.kind.removesuffix("MetricFamily").lower(), set(m.labels))
        for m in defined()
    }


@pytest.mark.parametrize(("what", "series"), NEEDED.items())
def test_alert_exists(what: str, series: str) -> None:
    assert any(series in rule["expr"] for rule in alerts()), f"no alert for {what}"


def test_alerts_say_what_happened_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))


def test_prometheus_scrapes_the_jobs_that_rules_name() -> None:
    config = yaml.safe_load(SCRAPE.read_text())
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    named = set(re.findall(r'job="([^"]+)"', RULES.read_text()))
    assert named <= jobs
    assert config["rule_files"] == [RULES.name]


@needs("promtool", "prometheus")
def test_prometheus_itself_accepts_configuration_and_rules() -> None:
    command = ["promtool", "check", "config", str(SCRAPE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_is_provisioned_with_its_datasource() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    mounts = dict(v.split(":")[:2] for v in compose["services"]["grafana"]["volumes"])
    provider = yaml.safe_load((PROVISIONING / "dashboards/anomalies.yml").read_text())
    assert mounts["./grafana/dashboards"] == provider["providers"][0]["options"]["path"]
    sources = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())
    uids = {source["uid"] for source in sources["datasources"]}
    assert {panel["datasource"]["uid"] for panel in panels()} <= uids


def test_dashboard_panels_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, f"{panel['title']} overlaps another panel"
        cells |= own
