"""A running bridge and service follow what people say of incidents, and what they take back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import orjson

from training.simulate import Plant

#: Added to the pressure: lasts and opens an incident, but not one six decades rarer.
FAULT = 0.8
SECONDS = 60.0


def faulty(plant: Plant, sensor: str) -> Iterator[tuple[bytes, bytes]]:
    """A new stream of the first pump: an hour of normal readings, then a slight fault."""
    asset, times = plant.asset_ids[0], plant.timestamps[:100].astype("datetime64[us]").tolist()
    for row, at in enumerate(times):
        features = dict(zip(plant.feature_names, plant.values[0][row].tolist(), strict=True))
        features["pressure"] += FAULT if row >= 60 else 0.0
        document = {"asset_id": asset, "sensor_id": sensor, "features": features,
                    "timestamp": at.isoformat() + "Z"}  # fmt: skip
        yield asset.encode(), orjson.dumps(document)


def test_a_false_alarm_raises_what_opens_an_incident_and_withdrawing_undoes_it_exactly(
    one_scene, make_service, plant, engine, request
):
    url = engine.url.render_as_string(hide_password=False)
    service = make_service(url, FEEDBACK_RAISE="6", FEEDBACK_RAISE_MAX="6")
    stage = one_scene(service.url)
    stage.bridge()
    http = httpx.Client(base_url=f"{service.url}/api/v1", trust_env=False, timeout=30)
    request.addfinalizer(http.close)
    numbers, sent = count(), 0

    def score_one() -> tuple[str, list[tuple[Any, ...]]]:
        """Another stream's scores and what its events say of incidents."""
        nonlocal sent
        sensor = f"S{next(numbers)}"
        sent += stage.produce(faulty(plant, sensor))
        stage.wait_accounted(sent)
        rows = stage.sql(
            "SELECT final_score, is_anomaly, metadata -> 'event' -> 'incident'"
            " FROM anomaly_detections WHERE sensor_id = :sensor ORDER BY timestamp", sensor=sensor,
        )  # fmt: skip
        return sensor, [tuple(row) for row in rows]

    def until_the_bridge_knows(affected: bool) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            marks = [one or {} for _, _, one in score_one()[1]]
            if any("affected_by_feedback" in one for one in marks) is affected:
                return
        raise AssertionError(f"no stream with affected = {affected} within {SECONDS} s")

    sensor, before = score_one()
    assert not any("affected_by_feedback" in (one or {}) for _, _, one in before)
    [incident] = http.get("/incidents", params={"sensor_id": sensor}).json()["incidents"]
    given = http.post(f"/incidents/{incident['id']}/feedback", json={"verdict": "false_alarm"})
    assert given.json()["effects"]["incident_threshold"]["raised_by"] == 6.0

    until_the_bridge_knows(affected=True)
    sensor, raised = score_one()
    assert [row[:2] for row in raised] == [row[:2] for row in before]  # detection is as it was
    incidents = [one for _, _, one in raised if one]
    assert {(one["opens"], one["affected_by_feedback"]) for one in incidents} == {(False, True)}
    assert http.get("/incidents", params={"sensor_id": sensor}).json()["incidents"] == []

    http.post(f"/feedback/{given.json()['id']}/withdraw", json={})
    until_the_bridge_knows(affected=False)
    sensor, after = score_one()
    assert after == before
    [again] = http.get("/incidents", params={"sensor_id": sensor}).json()["incidents"]
    moving = ("id", "event_id", "sensor_id", "created_at", "updated_at", "version", "revision")
    assert {k: v for k, v in again.items() if k not in (*moving, "peak")} == {
        k: v for k, v in incident.items() if k not in (*moving, "peak")
    }
    assert "affected_by_feedback" not in again["peak"]
    stage.check_account()
