"""The bridge with the service as a user starts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from models.bundles.bundle import Bundle
from models.scoring.ensemble import StreamWork, score
from tests.fixtures.bundle import points
from tests.fixtures.waiting import wait_until
from training.simulate import Plant


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
    sent = stage.produce(records(plant, 600, 740))
    bridge = stage.bridge(BRIDGE_BATCH_MAX="10")
    stage.wait_accounted(100)
    service.kill()
    wait_until(lambda: "service: " in bridge.text(), "the outage is said")
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
