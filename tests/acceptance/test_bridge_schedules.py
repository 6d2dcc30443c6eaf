"""A running bridge follows what people plan: maintenance, machine off, and resets."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from db import streams
from db.queries.schedules import add_window, put_off_conditions
from db.session import transaction
from tests.acceptance.test_bridge_service import records
from tests.fixtures.waiting import wait_until

RESET_SECONDS = 60.0


def marks(stage, key: str, asset: str = "PUMP_001") -> list[str]:
    """Times (ISO) of an asset's stored readings whose metadata has a key."""
    rows = stage.sql(
        "SELECT timestamp FROM anomaly_detections WHERE asset_id = :asset"
        " AND metadata -> :key IS NOT NULL ORDER BY timestamp", asset=asset, key=key,
    )  # fmt: skip
    return [row[0].isoformat() for row in rows]


def test_a_reset_is_applied_within_seconds_though_the_bridge_has_the_state_in_memory(
    one_scene, make_service, plant, engine, monkeypatch, capsys
):
    service = make_service(engine.url.render_as_string(hide_password=False))
    stage = one_scene(service.url)
    bridge = stage.bridge()
    row, sent = 100, stage.produce(records(plant, 0, 100))
    stage.wait_accounted(sent)
    before = stage.sql("SELECT state FROM stream_states WHERE asset_id = 'PUMP_001'")[0][0]
    assert "reset" not in before

    monkeypatch.setenv("DATABASE_URL", engine.url.render_as_string(hide_password=False))
    assert streams.main(["reset", "PUMP_001", "--why", "new bearing", "--who", "ANNA"]) == 0
    assert "restart with" in capsys.readouterr().out
    deadline = time.monotonic() + RESET_SECONDS
    while not marks(stage, "restarted") and time.monotonic() < deadline:
        sent += stage.produce(records(plant, row, row + 1))
        row += 1
        stage.wait_accounted(sent)
    for _ in range(3):
        sent += stage.produce(records(plant, row, row + 1))
        row += 1
    stage.wait_accounted(sent)

    (at,) = marks(stage, "restarted")  # once, and only this asset
    assert marks(stage, "restarted", "PUMP_002") == []
    (found,) = stage.sql(
        "SELECT metadata ->> 'restarted', window_mark FROM anomaly_detections"
        " WHERE asset_id = 'PUMP_001' AND timestamp = :at", at=datetime.fromisoformat(at),
    )  # fmt: skip
    assert tuple(found) == ("reset", "restarted")
    after = stage.sql("SELECT state FROM stream_states WHERE asset_id = 'PUMP_001'")[0][0]
    assert after["reset"][0] == 1
    assert "the stream is restarted at the reading" in bridge.text()
    # a bridge that is new to the stream does not apply it again
    bridge.kill()
    sent += stage.produce(records(plant, row, row + 5))
    stage.drain()
    assert marks(stage, "restarted") == [at]
    stage.check_account()


def test_maintenance_and_machine_off_reach_the_rows(one_scene, make_service, plant, engine):
    service = make_service(engine.url.render_as_string(hide_password=False))
    stage = one_scene(service.url)
    start = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
    with transaction(engine) as connection:
        window = add_window(
            connection,
            {"asset_id": "PUMP_001", "sensor_id": None, "group": None,
             "start": start, "end": start + timedelta(minutes=5),
             "rrule": "FREQ=YEARLY",  # one that does not recur would be read for a year only
             "time_zone": "UTC", "reason": "oil change", "alarms": True,
             "training": True},
            "ANNA",
        )  # fmt: skip
        put_off_conditions(
            connection,
            [{"group": "default", "feature": "flow", "operator": ">", "value": 1e6,
              "hold_s": 0.0, "run_up_s": 0.0}],
            "ANNA",
        )  # fmt: skip
        connection.execute(
            text(
                "INSERT INTO maintenance_windows (id, starts_at, ends_at, rrule, created_by)"
                " VALUES (gen_random_uuid(), '2026-01-01T00:00Z', 'infinity', 'FREQ=NEVER', 'SQL')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO off_conditions (group_name, feature, operator, value, changed_by)"
                " VALUES ('default', 'flow', '~', 'NaN', 'SQL')"
            )
        )
    sent = stage.produce(records(plant, 0, 30))
    stage.drain()
    assert stage.accounted() == sent
    assert stage.count("dead_letters") == 0, "bad rows of plain SQL are left out"
    minutes = [f"2026-01-01T00:{minute}:00+00:00" for minute in range(10, 15)]
    assert marks(stage, "suppressed") == minutes
    assert marks(stage, "suppressed", "PUMP_002") == []
    (mark,) = stage.sql(
        "SELECT DISTINCT metadata -> 'suppressed' FROM anomaly_detections"
        " WHERE asset_id = 'PUMP_001' AND metadata -> 'suppressed' IS NOT NULL"
    )[0]
    assert mark == {"by": "maintenance", "window": str(window["id"]), "reason": "oil change"}
    wait_until(lambda: stage.count("stream_states") == 3, "states are stored")
