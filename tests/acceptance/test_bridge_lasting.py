"""A lasting shift through bridge, service and database: one incident that lasts, and its end."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import httpx

from models.scoring.ensemble import score
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import StreamWork
from tests.acceptance.test_bridge_service import records
from tests.fixtures.bundle import points

AFTER = 100
CLOSED_SECONDS = 60.0
SHIFTED, FURTHER, END, READINGS = 150, 350, 370, 540


def shifted(plant: Any) -> Any:
    """The first pump's pressure stands too high from SHIFTED on, its temperature for a while."""
    moved = deepcopy(plant)
    moved.asset_ids, moved.values = plant.asset_ids[:1], moved.values[:1]
    moved.values[0][SHIFTED:, 4] += 2.0
    moved.values[0][FURTHER:END, 2] += 15.0
    return moved


def incidents(stage: Any) -> list[Any]:
    """Of each incident: whether it lasts, is cleared, is closed."""
    rows = stage.sql(
        "SELECT persistent, cleared_at IS NOT NULL, closed_at IS NOT NULL FROM incidents"
        " ORDER BY seq"
    )
    return [tuple(row) for row in rows]


def test_a_lasting_shift_is_one_incident_until_a_person_closes_it(
    one_scene, make_service, bundle, plant, engine
):
    service = make_service(
        engine.url.render_as_string(hide_password=False), PERSISTENT_AFTER=str(AFTER)
    )
    stage = one_scene(service.url)
    moved = shifted(plant)
    bridge = stage.bridge(BRIDGE_BATCH_MAX="30")
    sent = stage.produce(records(moved, 0, 300))
    stage.wait_accounted(280)
    bridge.kill()  # a settled level is part of the stored state
    sent += stage.produce(records(moved, 300, READINGS))
    bridge = stage.bridge(BRIDGE_BATCH_MAX="30")
    stage.wait_accounted(sent)

    readings = points(moved, 0, 0, READINGS)
    work = StreamWork(moved.asset_ids[0], None, None, "medium", None, [], readings)
    (outcome,) = score(bundle.model_set("default"), [work], ScoringPolicy(persistent_after=AFTER))
    rows = stage.sql(
        "SELECT final_score, is_anomaly, metadata -> 'event' FROM anomaly_detections"
        " ORDER BY timestamp"
    )
    assert len(rows) == READINGS
    for found, wanted in zip(rows, outcome.results, strict=True):
        assert abs(found[0] - wanted["final_score"]) < 1e-6
        assert found[1] == wanted["is_anomaly"]
        assert (found[2] or {}).get("id") == (wanted["metadata"].get("event") or {}).get("id")
    lasts = rows[-1][2]
    assert lasts["persistent"] is True
    assert rows[SHIFTED + 20][2]["id"] == lasts["id"]
    assert rows[FURTHER + 10][2]["id"] != lasts["id"]
    assert [one["id"] for one in rows[FURTHER + 10][2]["on_top_of"]] == [lasts["id"]]
    assert (True, False, False) in incidents(stage)
    whats = stage.sql("SELECT what FROM incident_log WHERE what = 'persistent'")
    assert len(whats) == 1

    counted = httpx.get(f"{service.url}/metrics", trust_env=False, timeout=60).text
    assert 'anomaly_persistent_events_total{change="settled"} ' in counted

    (of,) = stage.sql("SELECT id FROM incidents WHERE persistent")
    with httpx.Client(base_url=f"{service.url}/api/v1", trust_env=False, timeout=60) as client:
        assert client.get(f"/incidents/{of[0]}").json()["persistent"] is True
        closed = client.post(f"/incidents/{of[0]}/close", json={"verdict": "expected"})
        assert closed.status_code == 200
    row, deadline = READINGS, time.monotonic() + CLOSED_SECONDS
    while not _ended(stage, lasts["id"]) and time.monotonic() < deadline:
        sent += stage.produce(records(moved, row, row + 1))
        row += 1
        stage.wait_accounted(sent)
    assert _ended(stage, lasts["id"])
    sent += stage.produce(records(moved, row, row + 20))
    stage.wait_accounted(sent)
    newest = stage.sql(
        "SELECT is_anomaly, metadata -> 'event' ->> 'persistent' FROM anomaly_detections"
        " ORDER BY timestamp DESC LIMIT 20"
    )
    assert [row[1] for row in newest] == [None] * 20, "nothing lasts any more"
    assert sum(row[0] for row in newest) <= 1, "the level is normal now"
    stage.check_account()


def _ended(stage: Any, event_id: str) -> bool:
    rows = stage.sql(
        "SELECT timestamp FROM anomaly_detections WHERE event_id = :id"
        " AND metadata -> 'event' ->> 'state' = 'cleared'", id=event_id,
    )  # fmt: skip
    return bool(rows)
