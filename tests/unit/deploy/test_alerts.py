"""Each alert rule, evaluated by Prometheus' own tool: it fires on its trouble, never on calm."""

from __future__ import annotations

import json
import subprocess
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
    "bridge_streams_silent": "0",
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
    "SilentStreams": {"bridge_streams_silent": "3"},
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
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "5m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": f"{value}x{MINUTES}"}
                    for name, value in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{MINUTES}m",
                        "exp_samples": [
                            {"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected
                        ],
                    }
                ],
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
