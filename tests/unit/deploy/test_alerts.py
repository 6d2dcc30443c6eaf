"""Each alert rule, evaluated by Prometheus' own tool: it fires on its trouble, never on calm."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.fixtures.tools import needs

RULES = Path(__file__).resolve().parents[3] / "deploy/prometheus/alerts.yml"
NAMES = [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"]
         for rule in group["rules"]]  # fmt: skip
MINUTES = 120  # longer than any rule waits; a sample a minute, time starts at 0
#: A plant at rest: a model trained at time 0, duplicates that are a tenth of the records.
CALM = {
    'up{job="anomaly-bridge"}': "1",
    'up{job="anomaly-service"}': "1",
    'up{job="anomaly-exporter"}': "1",
    "anomaly_bundle_ready": "1",
    'anomaly_http_requests_total{status="200"}': "0+100",
    'anomaly_degraded_total{what="journal"}': "0",
    'bridge_state{state="running",why=""}': "1",
    'bridge_lag{partition="0"}': "50",
    "bridge_records_total": "0+1000",
    'bridge_dead_letters_total{reason="duplicate"}': "0+100",
    "bridge_records_lost_total": "0",
    "bridge_unpublishable_total": "0",
    "bridge_outbox_rows": "5",
    'store_rows{table="anomaly_detections_default"}': "9000",
    'bridge_topic_refuses{topic="anomalies-detected"}': "0",
    'notify_failing{receiver="shift"}': "0",
    'plant_notifications_oldest_seconds{receiver="shift"}': "20",
    "plant_streams_silent": "0",
    "bridge_streams_spread": "0",
    'plant_readings{asset_criticality="medium"}': "10000",
    'plant_anomalies{asset_criticality="medium"}': "12",
    'plant_alarm_budget{asset_criticality="medium"}': "0.001",
    'model_trained_timestamp_seconds{group="default"}': "0",
    'model_features_shifted{group="default"}': "0",
    'exporter_looked_timestamp_seconds{what="alarms"}': "0+60",
}
#: alert -> what is then different from `CALM`
TROUBLE = {
    "BridgeDown": {'up{job="anomaly-bridge"}': "0"},
    "ServiceDown": {'up{job="anomaly-service"}': "0"},
    "NoModel": {"anomaly_bundle_ready": "0"},
    "BridgePaused": {'bridge_state{state="paused",why="database"}': "1"},
    "BridgeLag": {'bridge_lag{partition="0"}': "20000"},
    "RecordsLost": {"bridge_records_lost_total": "0+1"},
    "OutboxGrows": {"bridge_outbox_rows": "0+10"},
    "DefaultPartitionGrows": {'store_rows{table="anomaly_detections_default"}': "2000000"},
    "TopicRefuses": {'bridge_topic_refuses{topic="anomalies-detected"}': "1"},
    "Unpublishable": {"bridge_unpublishable_total": "0+1"},
    "ReceiverFails": {'notify_failing{receiver="shift"}': "1"},
    "NotificationsOverdue": {'plant_notifications_oldest_seconds{receiver="shift"}': "0+60"},
    "DeadLetters": {'bridge_dead_letters_total{reason="bad_json"}': "0+20"},
    "SilentStreams": {"plant_streams_silent": "3"},
    "SpreadStreams": {"bridge_streams_spread": "3"},
    "AlarmRateOverBudget": {'plant_anomalies{asset_criticality="medium"}': "60"},
    "Drift": {'model_features_shifted{group="default"}': "2"},
    "ModelOld": {'model_trained_timestamp_seconds{group="default"}': str(-91 * 86400)},
    "ExporterBlind": {'exporter_looked_timestamp_seconds{what="alarms"}': "60"},
    "ServiceErrors": {'anomaly_http_requests_total{status="500"}': "0+5"},
    "WithoutDatabase": {'anomaly_degraded_total{what="journal"}': "0+1"},
}

needs_promtool = needs("promtool", "prometheus")


def firing(series: dict[str, str], expected: list[str], folder: Path) -> str:
    """What promtool objects to when ``series`` last for two hours; nothing: as expected."""
    checks = {
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{MINUTES}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected
                ],
            }
        ]
    }
    return objections(series, checks, folder)


def says(series: dict[str, str], alert: str, labels: dict[str, str], summary: str,
         folder: Path) -> str:  # fmt: skip
    """What promtool objects to when ``alert`` fires with this summary; nothing: as expected."""
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"]
             for rule in group["rules"] if rule["alert"] == alert]  # fmt: skip
    fired = {
        "exp_labels": {**rules[0]["labels"], **labels},
        "exp_annotations": {"summary": summary, "action": rules[0]["annotations"]["action"]},
    }
    checks = {
        "alert_rule_test": [{"eval_time": f"{MINUTES}m", "alertname": alert, "exp_alerts": [fired]}]
    }
    return objections(series, checks, folder)


def objections(series: dict[str, str], checks: Mapping[str, object], folder: Path) -> str:
    """Run promtool's ``checks`` on the rules; return what it prints if one fails.

    A value lasts, unless a space in it shows that it lists samples in promtool's own notation.
    """
    values = {
        name: value if " " in value else f"{value}x{MINUTES}" for name, value in series.items()
    }
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "5m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": of} for name, of in values.items()],
                **checks,
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(json.dumps(test))
    command = ["promtool", "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_every_rule_has_its_trouble() -> None:
    assert list(TROUBLE) == NAMES


@needs_promtool
def test_nothing_fires_while_all_is_calm(tmp_path: Path) -> None:
    assert firing(CALM, [], tmp_path) == ""


@needs_promtool
@pytest.mark.parametrize(("alert", "change"), TROUBLE.items(), ids=list(TROUBLE))
def test_alert_fires_on_its_trouble_and_no_other_does(
    alert: str, change: dict[str, str], tmp_path: Path
) -> None:
    assert firing(CALM | change, [alert], tmp_path) == ""


#: A process that is first scraped ten minutes before the end, having counted five already.
LATE = f"_x{MINUTES - 10} 5x10"


@needs_promtool
@pytest.mark.parametrize(
    ("alert", "counter"),
    [("RecordsLost", "bridge_records_lost_total"),
     ("Unpublishable", "bridge_unpublishable_total")],
)  # fmt: skip
def test_what_was_counted_before_the_first_scrape_fires(
    alert: str, counter: str, tmp_path: Path
) -> None:
    assert firing(CALM | {f'{counter}{{instance="new"}}': LATE}, [alert], tmp_path) == ""
    long_ago = CALM | {f'{counter}{{instance="old"}}': "5"}
    assert firing(long_ago, [], tmp_path) == ""
    created = counter.replace("total", "created")
    started = {f'{created}{{instance="new"}}': f"_x{MINUTES - 10} {(MINUTES - 10) * 60}x10"}
    late = CALM | {f'{counter}{{instance="new"}}': LATE}
    assert firing(late | started, [alert], tmp_path) == ""
    prometheus_was_down = {f'{created}{{instance="new"}}': f"_x{MINUTES - 10} -7200x10"}
    assert firing(late | prometheus_was_down, [], tmp_path) == ""


@needs_promtool
def test_exporter_that_never_reached_its_source_fires(tmp_path: Path) -> None:
    change = {'exporter_looked_timestamp_seconds{what="model"}': "0"}
    summary = ("The exporter has not updated its figures on model for an hour, or since it started."
               " Alarm rate, drift or the model's age may be outdated.")  # fmt: skip
    assert firing(CALM | change, ["ExporterBlind"], tmp_path) == ""
    assert says(CALM | change, "ExporterBlind", {"what": "model"}, summary, tmp_path) == ""
    down = {'up{job="anomaly-exporter"}': "0"}
    summary = ("The exporter has not updated anything: it does not answer."
               " Alarm rate, drift or the model's age may be outdated.")  # fmt: skip
    assert says(CALM | down, "ExporterBlind", {}, summary, tmp_path) == ""


@needs_promtool
def test_pause_whose_reason_changes_is_one_pause_and_names_the_present_reason(
    tmp_path: Path,
) -> None:
    series = "bridge_state{instance='b:1',state='paused',why='%s'}"
    alternating = {
        series % "service_unreachable": "1 _ " * (MINUTES // 2) + "1",
        series % "no_model": "_ 1 " * (MINUTES // 2) + "stale",
    }
    alternating = {name: value.replace("_", "stale") for name, value in alternating.items()}
    summary = "A bridge has been paused for five minutes: service_unreachable."
    assert firing(CALM | alternating, ["BridgePaused"], tmp_path) == ""
    labels = {"instance": "b:1"}
    assert says(CALM | alternating, "BridgePaused", labels, summary, tmp_path) == ""


@needs_promtool
@pytest.mark.parametrize(
    ("alert", "change", "summary"),
    [("BridgeLag", {'bridge_lag{partition="0"}': "2345678"},
      "2.346M records are waiting to be processed."),
     ("RecordsLost", {"bridge_records_lost_total": "0+0.3"},
      "Kafka deleted 4 records before they were read.")],
)  # fmt: skip
def test_numbers_are_written_for_people(
    alert: str, change: dict[str, str], summary: str, tmp_path: Path
) -> None:
    assert says(CALM | change, alert, {}, summary, tmp_path) == ""
