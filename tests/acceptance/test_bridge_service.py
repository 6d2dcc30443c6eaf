"""The bridge with the service as a user starts it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson

from models.bundles.bundle import Bundle
from models.scoring.ensemble import score
from models.scoring.stream_work import StreamWork
from schemas import SEVERITIES
from tests.fixtures.bundle import points
from tests.fixtures.waiting import wait_until
from training.simulate import Plant

#: Added to the pressure: just enough for an anomaly, and more than enough.
SLIGHT, SEVERE = 0.5, 8.0


def records(plant: Plant, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, bytes]]:
    """The simulated plant's readings as records of the grouped shape, in time order."""
    times = plant.timestamps[start:end].astype("datetime64[us]").tolist()
    for row, at in enumerate(times):
        for number, asset in enumerate(plant.asset_ids):
            values = plant.values[number][start + row].tolist()
            document = {
                "asset_id": asset,
                "sensor_id": None,
                "features": dict(zip(plant.feature_names, values, strict=True)),
                "timestamp": at.isoformat() + "Z",
            }
            yield asset.encode(), orjson.dumps(document)


def undisturbed(bundle: Bundle, plant: Plant, start: int, end: int) -> dict[Any, float]:
    """Scores by (asset, time) of one uninterrupted run of the model, without any server."""
    scores = {}
    for number, asset in enumerate(plant.asset_ids):
        readings = points(plant, number, start, end)
        work = StreamWork(asset, None, None, "medium", None, [], readings)
        (outcome,) = score(bundle.model_set("default"), [work])
        for reading, result in zip(readings, outcome.results, strict=True):
            scores[asset, reading.timestamp] = result["final_score"]
    return scores


def test_kill_of_service_and_bridge_changes_no_score(
    one_scene, make_service, bundle, plant, engine
):
    service = make_service(engine.url.render_as_string(hide_password=False))
    stage = one_scene(service.url)
    sent = stage.produce(records(plant, 600, 700))
    bridge = stage.bridge(BRIDGE_BATCH_MAX="10")
    stage.wait_accounted(100)
    service.kill()
    sent += stage.produce(records(plant, 700, 740))  # whatever was stored before it ended
    wait_until(lambda: "service: " in bridge.text(), "the outage is logged")
    bridge.kill()
    assert stage.accounted() < sent
    service.start()
    stage.drain()
    assert stage.accounted() == sent
    stage.check_account()
    stage.check_published()
    rows = stage.sql("SELECT asset_id, timestamp, final_score FROM anomaly_detections")
    found = {(asset, at): value for asset, at, value in rows}
    wanted = undisturbed(bundle, plant, 600, 740)
    assert found.keys() == wanted.keys()
    assert [key for key in wanted if abs(found[key] - wanted[key]) > 1e-6] == []
    assert max(wanted.values()) > 0.5


def late_faults(plant: Plant) -> list[list[tuple[bytes, bytes]]]:
    """One pump's readings for two bridges, one after the other.

    In order up to a slight fault, which opens an event; then, late by less than an hour, a severe
    one; late by a day, another; and for the second bridge the severe one in order, and late.
    """
    (asset, *_), names = plant.asset_ids, plant.feature_names
    times = plant.timestamps.astype("datetime64[us]").tolist()

    def record(row: int, at: int, fault: float, before: timedelta = timedelta(0)) -> Any:
        values = dict(zip(names, plant.values[0][row].tolist(), strict=True))
        values["pressure"] += fault
        at_time = (times[at] - before).isoformat() + "Z"
        document = {"asset_id": asset, "features": values, "timestamp": at_time}
        return asset.encode(), orjson.dumps(document)

    soon, day = timedelta(seconds=1), timedelta(days=1)
    first = [record(row, row, 0.0) for row in range(120)]
    first += [record(row, row, SLIGHT) for row in range(120, 124)]
    first += [record(row, row - 20, SEVERE, soon) for row in range(124, 128)]
    first += [record(row, row, SEVERE, day) for row in range(128, 132)]
    second = [record(row, row, SEVERE) for row in range(132, 136)]
    second += [record(row, row - 30, SEVERE, soon) for row in range(136, 140)]
    return [first, second]


def test_events_of_late_readings_are_published_once_and_old_anomalies_not(
    one_scene, make_service, plant, engine
):
    service = make_service(engine.url.render_as_string(hide_password=False))
    stage = one_scene(service.url)
    stage.environment["KAFKA_PUBLISH"] = "events"
    for part in late_faults(plant):
        stage.produce(part)
        stage.drain()
    stage.check_account()
    rows = stage.sql("""
        SELECT id, criticality, event_id, metadata ? 'late' AS late FROM anomaly_detections
        WHERE is_anomaly ORDER BY source_offset
    """)
    old = [row for row in rows if row.event_id is None]
    assert len(old) >= 3
    assert all(row.late for row in old)
    members = [row for row in rows if row.event_id is not None]
    assert len({row.event_id for row in members}) == 1
    wanted, level = [], -1
    for row in members:
        severity = SEVERITIES.index(row.criticality)
        if severity > level:
            wanted.append((str(row.id), row.late))
            level = severity
    # opened by the slight fault, raised by the late one; the second bridge adds nothing
    assert wanted[0][1] is False
    assert wanted[-1][1] is True
    sent = [orjson.loads(record.value) for record in stage.consume(stage.anomalies)]
    assert [one["detection_id"] for one in sent] == [one for one, _ in wanted]
    assert sent[-1]["metadata"]["late"] is True
    assert stage.count("outbox") == 0
