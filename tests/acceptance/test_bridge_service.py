"""The bridge with the service as a user starts it."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

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


def test_kill_of_service_and_bridge_changes_no_score(scene, make_service, plant, engine):
    service = make_service(engine.url.render_as_string(hide_password=False))
    stage = scene(service.url)
    sent = stage.produce(records(plant, 500, 700))
    bridge = stage.bridge(BRIDGE_BATCH_MAX="50")
    stage.wait_accounted(100)
    service.kill()
    bridge.kill()
    service.start()
    stage.drain()
    assert stage.accounted() == sent
    stage.check_account()
    stage.check_published()
