"""The exporter: gauges from real rows, from /status and from a drift report; failures counted."""

from __future__ import annotations

import os
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import Gauge, generate_latest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from config import Settings
from db.feedback_actions import give_feedback
from db.incident_recording import record
from db.queries.feedback import precision_by_group
from db.queries.notifications import register
from db.queries.reporting import recent_alarms, silent_streams, table_sizes
from db.session import in_transaction, transaction
from deploy.exporter import (
    WHAT,
    Plant,
    look_at_incidents,
    looks,
    main,
    service_status,
    stored_kpis,
)
from deploy.processes import free_port, port_is_free
from tests.fixtures.answering import Answering
from tests.fixtures.incidents import START, row
from tests.fixtures.settings import SETTINGS, given
from tests.fixtures.waiting import wait_until

BUDGETS = {"critical": 1e-2, "medium": 1e-3}
INSERT = text(
    """
    INSERT INTO anomaly_detections (id, timestamp, asset_id, final_score, is_anomaly, criticality,
        asset_criticality, scores, features, metadata, topic_id, partition, source_offset)
    VALUES (:id, now() - make_interval(mins => :minutes), 'A', 0.5, :anomaly, 'medium',
        :asset, '[]', '{}', '{}', :topic, 0, :offset)
    """
)


@pytest.fixture
def plant() -> Plant:
    return Plant(BUDGETS)


def value(plant: Plant, name: str, **labels: str) -> float | None:
    return plant.registry.get_sample_value(name, labels)


def test_alarms_of_the_last_hour_are_counted_by_the_assets_criticality(engine: Engine) -> None:
    topic = str(uuid4())
    rows = [  # minutes ago, anomaly, criticality of the asset, from Kafka
        (5, True, "critical", True), (50, False, "critical", True), (5, False, None, True),
        (70, True, "critical", True), (5, True, "critical", False),
    ]  # fmt: skip
    with engine.begin() as connection:
        for offset, (minutes, anomaly, asset, kafka) in enumerate(rows):
            source = (
                {"topic": topic, "offset": offset} if kafka else {"topic": None, "offset": None}
            )
            connection.execute(
                INSERT,
                {"id": uuid4(), "minutes": minutes, "anomaly": anomaly, "asset": asset, **source},
            )
    assert in_transaction(engine, recent_alarms) == {"critical": (2, 1), "medium": (1, 0)}


def test_every_criticality_has_a_series_beside_its_budget(plant: Plant) -> None:
    plant.alarms({"critical": (200, 3)})
    assert value(plant, "plant_readings", asset_criticality="critical") == 200
    assert value(plant, "plant_anomalies", asset_criticality="critical") == 3
    assert value(plant, "plant_anomalies", asset_criticality="medium") == 0
    assert value(plant, "plant_alarm_budget", asset_criticality="critical") == 1e-2


def test_incidents_are_counted_by_state(plant: Plant, engine: Engine) -> None:
    with transaction(engine) as connection:
        record(connection, [row(0, state="opened", asset=f"A{n}") for n in range(3)],
               SETTINGS, "bridge")  # fmt: skip
    look_at_incidents(plant, engine)
    states = ("open-unacknowledged", "shelved", "closed")
    assert [value(plant, "plant_incidents", state=one) for one in states] == [3, 0, None]


def test_kpis_come_with_their_limits_and_feedback_as_precision(
    plant: Plant, engine: Engine
) -> None:
    names = (("A", "confirmed"), ("B", "confirmed"), ("C", "confirmed"), ("D", "false_alarm"))
    now = datetime.now(UTC)
    with transaction(engine) as connection:
        rows = [
            {**row(0, "high", state="opened", asset=asset), "timestamp": now.isoformat()}
            for asset, _ in names
        ]
        record(connection, rows, SETTINGS, "bridge")
        for one, (_, verdict) in zip(rows, names, strict=True):
            given = {"verdict": verdict, "fault_code": None, "note": None, "created_by": "ANNA",
                     "client_token": None, "starts_at": None, "ends_at": None}  # fmt: skip
            about = UUID(one["metadata"]["event"]["id"])
            give_feedback(connection, given, incident_id=about)
    plant.kpis(in_transaction(engine, stored_kpis, Settings()))
    plant.feedback(in_transaction(engine, precision_by_group))
    assert value(plant, "plant_alarm_kpi", figure="per_day") == pytest.approx(4 / 7)
    assert value(plant, "plant_alarm_kpi", figure="share_high_critical") == 1.0
    assert value(plant, "plant_alarm_kpi_limit", figure="per_day", limit="maximum") == 300
    assert value(plant, "plant_incident_precision", group="g") == 0.75
    assert value(plant, "plant_incidents_judged", group="g", verdict="false_alarm") == 1


def test_every_table_that_grows_has_its_size(plant: Plant, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE of_somebody_else (n int)"))
        connection.execute(
            text("INSERT INTO stream_states (topic_id, partition, asset_id, state)"
                 " SELECT gen_random_uuid(), 0, 'A', '{}' FROM generate_series(1, 50)")
        )  # fmt: skip
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    sizes = in_transaction(engine, table_sizes)
    assert set(sizes) == {
        "anomaly_detections", "anomaly_detections_default", "dead_letters", "outbox",
        "stream_states", "training_data", "training_jobs", "incidents", "incident_events",
        "incident_log", "feedback", "notifications",
    }  # fmt: skip
    plant.store(sizes)
    assert value(plant, "store_rows", table="stream_states") == 50
    assert (value(plant, "store_bytes", table="stream_states") or 0) > 8192
    assert value(plant, "store_rows", table="dead_letters") == 0


def test_streams_that_stopped_sending_are_counted_whoever_had_them(engine: Engine) -> None:
    silent = [  # asset, hours since its newest reading in one of its partitions
        ("working", 0.1), ("moved", 3), ("moved", 0.1), ("stopped", 3), ("stopped", 9),
        ("scrapped", 24 * 8),
    ]  # fmt: skip
    insert = text(
        "INSERT INTO stream_states (topic_id, partition, asset_id, state, updated_at) VALUES"
        " (gen_random_uuid(), 0, :asset, '{}', now() - make_interval(secs => :hours * 3600))"
    )
    with engine.begin() as connection:
        connection.execute(insert, [{"asset": asset, "hours": hours} for asset, hours in silent])
    assert in_transaction(engine, silent_streams, 3600) == 1


def test_oldest_detector_is_the_age_of_a_group(plant: Plant) -> None:
    models = {
        "isolation_forest": {"trained_at": "2026-01-02T00:00:00+00:00"},
        "one_class_svm": {"trained_at": "2026-01-01T00:00:00+00:00"},
        "lstm_autoencoder": {"trained_at": None},
    }
    plant.model({"models": models})
    assert value(plant, "model_trained_timestamp_seconds", group="default") == 1767225600
    plant.model({"models": models, "groups": {"pumps": models}})
    assert value(plant, "model_trained_timestamp_seconds", group="pumps") == 1767225600
    assert value(plant, "model_trained_timestamp_seconds", group="default") is None


def test_drift_is_forgotten_for_features_that_are_gone(plant: Plant) -> None:
    status = {"models": {}, "drift": {"default": {"rms": {"psi": 0.3, "state": "shifted"}}}}
    plant.model(status)
    assert value(plant, "model_drift_psi", group="default", feature="rms") == 0.3
    assert value(plant, "model_features_shifted", group="default") == 1
    plant.model({"models": {}, "drift": {}})  # another replica, which has not looked yet
    assert value(plant, "model_features_shifted", group="default") == 1
    plant.model({"models": {}, "drift": {"default": {"temp": {"psi": 0.01, "state": "stable"}}}})
    assert value(plant, "model_drift_psi", group="default", feature="rms") is None
    assert value(plant, "model_features_shifted", group="default") == 0


def test_look_that_fails_is_counted_and_leaves_the_last_values(plant: Plant) -> None:
    plant.alarms({"medium": (10, 1)})

    def fails() -> None:
        raise OSError("no route")

    assert value(plant, "exporter_failures_total", what="alarms") == 0  # a series to increase
    assert not plant.look("alarms", fails)
    assert plant.look("model", lambda: None)
    assert value(plant, "exporter_failures_total", what="alarms") == 1
    assert value(plant, "exporter_looked_timestamp_seconds", what="alarms") == 0
    assert value(plant, "plant_readings", asset_criticality="medium") == 10
    assert b"exporter_looked_timestamp_seconds" in generate_latest(plant.registry)


def test_the_series_of_drift_are_bounded_and_the_largest_are_shown(plant: Plant) -> None:
    drift = {
        f"g{g}": {f"f{f}": {"psi": (g * 24 + f) / 1e5, "state": "shifted"} for f in range(24)}
        for g in range(3000)
    }
    plant.model({"models": {}, "drift": drift})
    series = [s for m in plant.psi.collect() for s in m.samples]
    assert len(series) == 500
    assert min(s.value for s in series) == (3000 * 24 - 500) / 1e5
    assert value(plant, "model_features_shifted", group="g0") == 24


def test_a_scrape_during_an_update_finds_each_series_that_stays(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = {"forest": {"trained_at": "2026-01-02T00:00:00+00:00"}}
    drift = {"f": {"psi": 0.3, "state": "shifted"}}

    def update(*groups: str) -> None:
        plant.model({"groups": dict.fromkeys(groups, trained),
                     "drift": dict.fromkeys(groups, drift)})  # fmt: skip
        plant.feedback(dict.fromkeys(groups, (3, 1)))

    def shown(group: str) -> list[float | None]:
        return [
            value(plant, "model_trained_timestamp_seconds", group=group),
            value(plant, "model_drift_psi", group=group, feature="f"),
            value(plant, "model_features_shifted", group=group),
            value(plant, "plant_incident_precision", group=group),
        ]

    update("goes", "stays")
    before, seen = shown("stays"), []
    assert None not in before
    labels = Gauge.labels

    def scraped(self: Gauge, *args: str) -> Gauge:
        seen.append(shown("stays"))
        return labels(self, *args)

    monkeypatch.setattr(Gauge, "labels", scraped)
    update("comes", "stays")
    assert len(seen) > 6
    assert all(one == before for one in seen)
    assert shown("goes") == [None] * 4
    assert None not in shown("comes")


def test_openings_of_the_last_hour_and_who_was_not_notified(plant: Plant, engine: Engine) -> None:
    now = datetime.now(UTC)
    with transaction(engine) as connection:
        register(connection, ["shift"])
        for asset, severity, age_s in (("A", "high", 60), ("B", "high", 90), ("C", "low", 7200)):
            at = (now - START).total_seconds() - age_s
            found = row(at, severity, state="opened", asset=asset)
            record(connection, [found], SETTINGS, "bridge")
        connection.execute(
            text("UPDATE notifications SET created_at = now() - interval '5 minutes'")
        )
    look_at_incidents(plant, engine)
    assert value(plant, "plant_incidents_opened", severity="high") == 2
    assert value(plant, "plant_incidents_opened", severity="low") == 0
    oldest = value(plant, "plant_notifications_oldest_seconds", receiver="shift")
    assert oldest is not None
    assert 300 <= oldest < 360


STATUS = "/api/v1/anomalies/status"


def test_the_service_is_asked_with_the_key_and_past_any_proxy(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    answering.answers[STATUS] = (200, {"models": {}})
    keyed = given(service_url=answering.url, service_api_key=SecretStr("mine"))
    assert service_status(keyed) == {"models": {}}
    assert service_status(given(service_url=answering.url)) == {"models": {}}
    assert [headers.get("x-api-key") for _, headers, _ in answering.asked] == ["mine", None]
    answering.answers[STATUS] = (401, {})
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        service_status(given(service_url=answering.url))


def test_every_look_looks_and_one_that_fails_stops_no_other(
    plant: Plant, engine: Engine, answering: Answering
) -> None:
    settings = Settings(service_url=answering.url, service_api_key="mine")
    assert tuple(looks(plant, settings, engine)) == WHAT
    found = {what: plant.look(what, look) for what, look in looks(plant, settings, engine).items()}
    assert found == {**dict.fromkeys(WHAT, True), "model": False}  # it answers 503
    answering.answers[STATUS] = (
        200, {"models": {"one_class_svm": {"trained_at": "2026-01-01T00:00:00+00:00"}}},
    )  # fmt: skip
    assert plant.look("model", looks(plant, settings, engine)["model"])
    assert value(plant, "model_trained_timestamp_seconds", group="default") == 1767225600
    assert answering.asked[-1][1]["x-api-key"] == "mine"
    assert value(plant, "plant_readings", asset_criticality="critical") == 0
    assert value(plant, "plant_incidents", state="shelved") == 0
    assert value(plant, "plant_alarm_kpi_limit", figure="per_day", limit="maximum") == 300
    assert (value(plant, "store_bytes", table="outbox") or 0) > 0


def test_the_command_serves_its_metrics_until_it_is_ended(
    tmp_path: Path, answering: Answering, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SERVICE_URL", answering.url)
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    port = free_port()
    shown: list[str] = []

    def looked() -> bool:
        if not port_is_free(port):
            shown.append(
                httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=60).text
            )
        return bool(shown) and 'exporter_failures_total{what="model"} 1.0' in shown[-1]

    def look_and_end() -> None:
        try:
            wait_until(looked, "the last look is done")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    person = threading.Thread(target=look_and_end)
    person.start()
    try:
        assert main(["--port", str(port), "--every", "600"]) == 0
    finally:
        person.join()
        signal.signal(signal.SIGTERM, before)
    for what in set(WHAT) - {"model"}:
        assert f'exporter_looked_timestamp_seconds{{what="{what}"}}' in shown[-1]
    assert port_is_free(port)


def test_a_bad_setting_is_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main([]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err.startswith("error: LOG_LEVEL")
