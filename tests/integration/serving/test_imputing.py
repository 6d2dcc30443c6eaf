"""Readings that lack features, over HTTP: a bundle trained with ``--impute 1`` fills one in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.bundles.bundle import Bundle
from tests.fixtures.bundle import points
from tests.fixtures.service import Service
from training.simulate import Plant

ASSET = {"asset_id": "PUMP_IMPUTE", "sensor_id": "S"}


@pytest.fixture(scope="module")
def imputing(
    bundle_dir: Path, service_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service whose bundle lets one feature be missing."""
    folder = tmp_path_factory.mktemp("imputing")
    model_set = Bundle.load(bundle_dir).model_set("default")
    model_set.preprocessing = replace(model_set.preprocessing, missing="impute", max_imputed=1)
    Bundle({"default": model_set}).save(folder / "bundle")
    service = Service(folder / "var", service_database_url)
    service.promote(folder / "bundle")
    service.start()
    with service.client() as client:
        yield client
    service.stop()


@pytest.fixture
def features(plant: Plant) -> dict[str, float]:
    return dict(points(plant, 0, 5, 6)[0].features)


def without(features: dict[str, float], *names: str) -> dict[str, float]:
    return {name: value for name, value in features.items() if name not in names}


def test_one_feature_is_filled_in_and_named(
    imputing: httpx.Client, features: dict[str, float]
) -> None:
    gone = next(iter(features))
    whole = imputing.post("/detect", json={**ASSET, "features": features}).json()
    answer = imputing.post("/detect", json={**ASSET, "features": without(features, gone)})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["metadata"]["imputed"] == [gone]
    assert "imputed" not in whole["metadata"]
    assert result["features"] == without(features, gone)  # as received
    assert result["is_anomaly"] is False


def test_more_than_allowed_are_refused_by_name(
    imputing: httpx.Client, features: dict[str, float]
) -> None:
    first, second = list(features)[:2]
    answer = imputing.post("/detect", json={**ASSET, "features": without(features, first, second)})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "missing_features"
    assert error["field"] == f"features.{first}"
    assert first in error["message"]
    assert second in error["message"]


def test_a_batch_and_a_history_may_lack_one_as_well(
    imputing: httpx.Client, plant: Plant, bundle: Bundle
) -> None:
    names = plant.feature_names
    readings = [dict(point.features) for point in points(plant, 0, 0, 20)]
    lacking = [without(f, names[i % len(names)]) for i, f in enumerate(readings)]
    window = bundle.model_set("default").window
    alone = {**ASSET, "features": lacking[window], "history": lacking[:window]}
    items: list[dict[str, Any]] = [{**ASSET, "features": f} for f in lacking]
    answers = imputing.post("/detect/batch", json=[*items, alone]).json()
    assert ["error" in answer for answer in answers] == [False] * 21
    assert [answer["metadata"]["imputed"] for answer in answers[:20]] == [
        [names[i % len(names)]] for i in range(20)
    ]
    voted = {score["model_name"] for score in answers[-1]["scores"]}
    assert "lstm_autoencoder" in voted


@pytest.mark.parametrize("value", [1.7e308, -1.7e308])
def test_the_largest_numbers_are_an_anomaly_not_a_failure(
    imputing: httpx.Client, features: dict[str, float], value: float
) -> None:
    gone, *others = features
    huge = {**ASSET, "features": dict.fromkeys(others, value)}
    answer = imputing.post("/detect", json=huge)
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert result["final_score"] == 1
    assert result["is_anomaly"] is True
    assert result["metadata"]["imputed"] == [gone]
    assert None not in [score["score"] for score in result["scores"]]
