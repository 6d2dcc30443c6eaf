"""A bundle of the LSTM alone has nothing to say before its window is full, and says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from db.session import transaction
from models.bundles.bundle import Bundle
from models.fitting.model_set_fit import fit_model_set
from tests.fixtures.bundle import QUICK
from tests.fixtures.service import MakeService
from training.simulate import Plant

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def lstm_dir(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Path:
    normal = plant.cut(0, 600)
    options = replace(QUICK, models=("lstm_autoencoder",))
    model_set, _ = fit_model_set(normal.values, normal.times(), normal.feature_names, options)
    folder = tmp_path_factory.mktemp("lstm") / "bundle"
    Bundle({"default": model_set}).save(folder)
    return folder


def test_a_reading_that_no_detector_scored_is_stored_and_never_an_anomaly(
    make_service: MakeService, database_url: str, engine: Engine, plant: Plant, lstm_dir: Path
) -> None:
    # with a budget of one the threshold is 0, which a score of 0 would reach
    service = make_service(
        database_url, bundle=False, start=False, JOURNAL_REST="all", BUDGET_MEDIUM="0.9"
    )
    service.promote(lstm_dir)
    service.start()
    items = [
        {
            "asset_id": "L",
            "features": dict(zip(plant.feature_names, row, strict=True)),
            "timestamp": (T0 + timedelta(minutes=place)).isoformat(),
        }
        for place, row in enumerate(plant.values[0][:12].tolist())
    ]
    with service.client() as api:
        service.until(lambda: api.get("/status").json()["database"]["available"])
        results: list[dict[str, Any]] = api.post("/detect/batch", json=items).json()
        alone = api.post("/detect", json=items[0]).json()
    for result in (*results[:9], alone):
        assert result["metadata"]["not_scored"] is True
        assert result["scores"] == []
        assert result["final_score"] == 0.0
        assert result["is_anomaly"] is False
        assert "event" not in result["metadata"]
    for result in results[9:]:
        assert "not_scored" not in result["metadata"]
        assert len(result["scores"]) == 1
    with transaction(engine) as connection:
        query = "SELECT count(*) FROM anomaly_detections WHERE metadata ? 'not_scored'"
        assert connection.execute(text(query)).scalar_one() == 10
    counted = httpx.get(service.url + "/metrics", trust_env=False, timeout=60).text
    assert 'anomaly_readings_total{outcome="not_scored"} 10.0' in counted
