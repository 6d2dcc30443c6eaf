"""The contract's calls over real parts, with a database that was never reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from config import Settings
from models.bundles.bundle import Bundle
from models.detectors.base import MODEL_NAMES
from models.scoring.policy import ScoringPolicy
from schemas import API_PREFIX
from serving.bundles.registry_client import RegistryClient
from serving.detection.detection_service import DetectionService
from serving.detection.journal import Journal
from serving.detection.runners import LocalRunners
from serving.detection.scoring_engine import ScoringEngine
from serving.detection.stream_lookup import StreamLookup
from serving.http.handlers import Handlers, describe
from serving.http.rest_app import declared
from serving.monitors import DriftMonitor, PrecisionMonitor
from serving.training_queue import TrainingQueue
from tests.fixtures.asgi import answer, no_database
from tests.fixtures.settings import SETTINGS, given
from training.simulate import Plant


class Loaded:
    """A bundle in force that nobody follows."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def current(self) -> Bundle:
        return self.bundle

    def status(self) -> dict[str, Any]:
        return {"bundle_version": self.bundle.version, "problem": None}


@pytest.fixture
def ask(bundle: Bundle, tmp_path: Path) -> Any:
    """Ask the service."""

    def asked(method: str, path: str, **options: Any) -> httpx.Response:
        database = no_database()
        engine = ScoringEngine(LocalRunners(), ScoringPolicy(), inline=100)
        detection = DetectionService(
            Loaded(bundle),  # type: ignore[arg-type]
            engine,
            StreamLookup(database, SETTINGS),
            Journal(database, given(journal_rest="all")),
        )
        settings = Settings(
            _env_file=None, var_dir=tmp_path, data_dir=tmp_path, max_batch_items=9, service_name="x"
        )
        jobs = TrainingQueue(database, lambda: False, settings)
        rest = Handlers(
            detection, database, jobs, RegistryClient(tmp_path), settings,
            DriftMonitor(database), PrecisionMonitor(database), "1",
        )  # fmt: skip
        try:
            return answer(declared(rest), method, path, **options)
        finally:
            engine.close()

    return asked


def reading(plant: Plant, asset: str = "PUMP_001") -> dict[str, Any]:
    values = plant.values[0][0].tolist()
    return {"asset_id": asset, "features": dict(zip(plant.feature_names, values, strict=True))}


def test_a_reading_is_scored_without_the_database_and_says_so(ask: Any, plant: Plant) -> None:
    for path in (f"{API_PREFIX}/detect", "/detect"):
        result = ask("POST", path, json=reading(plant)).json()
        assert 0 <= result["final_score"] <= 1
        assert (result["metadata"]["degraded"], result["metadata"]["stored"]) == (True, False)


def test_the_status_warns_if_anyone_can_call(ask: Any) -> None:
    warning = ask("GET", f"{API_PREFIX}/status").json()["warning"]
    assert "without API keys" in warning
    assert "set API_KEYS" in warning


def test_a_bad_item_of_a_batch_costs_only_itself(ask: Any, plant: Plant) -> None:
    bad = {"asset_id": "PUMP_001", "features": {"rms": None}}
    first, second = ask("POST", f"{API_PREFIX}/detect/batch", json=[bad, reading(plant)]).json()
    assert first["error"]["field"] == "[0].features.rms"
    assert second["asset_id"] == "PUMP_001"


def test_streams_come_back_in_order_with_their_bad_readings_in_place(
    ask: Any, plant: Plant
) -> None:
    good = {"timestamp": "2026-01-01T00:00:00Z", "features": reading(plant)["features"]}
    streams = [{"asset_id": name, "readings": [{}, good]} for name in ("B", "A")]
    body = {"streams": streams, "echo": False}
    answered = ask("POST", f"{API_PREFIX}/detect/streams", json=body).json()["streams"]
    for place, stream in enumerate(answered):
        wrong, scored = stream["results"]
        assert wrong["error"]["field"].startswith(f"streams[{place}].readings[0]")
        assert "final_score" in scored
        assert "features" not in scored
        assert stream["state"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", f"{API_PREFIX}/detect", 400, "bad_json"),
        ("GET", f"{API_PREFIX}/7", 404, "not_found"),
        ("GET", f"{API_PREFIX}/train/7", 404, "not_found"),
        ("POST", f"{API_PREFIX}/train?wait=perhaps", 422, "invalid_input"),
        ("GET", f"{API_PREFIX}?limit=x", 422, "invalid_input"),
        ("GET", f"{API_PREFIX}?no=1", 422, "unknown_parameter"),
        ("GET", f"{API_PREFIX}/status?no=1", 422, "unknown_parameter"),
        ("GET", f"{API_PREFIX}/{UUID(int=1)}?no=1", 422, "unknown_parameter"),
        ("HEAD", f"{API_PREFIX}/status?no=1", 422, None),
        ("POST", f"{API_PREFIX}/detect?no=1", 422, "unknown_parameter"),
        ("POST", "/detect_batch?no=1", 422, "unknown_parameter"),
        ("POST", f"{API_PREFIX}/train?no=1", 422, "unknown_parameter"),
        ("GET", "/health?probe=1", 200, None),
        ("GET", API_PREFIX, 503, "storage_unavailable"),
    ],
)
def test_what_cannot_be_answered_says_why(
    ask: Any, method: str, path: str, status: int, code: str | None
) -> None:
    found = ask(method, path)
    assert found.status_code == status
    if code is not None:
        assert found.json()["error"]["code"] == code


def test_status_and_health_need_no_database(ask: Any) -> None:
    status = ask("GET", f"{API_PREFIX}/status").json()
    assert status["ready"]
    assert status["database"]["available"] is False
    assert set(status["models"]) == set(MODEL_NAMES)
    health = {"status": "healthy", "service": "x", "version": "1"}
    assert ask("GET", "/health").json() == ask("GET", f"{API_PREFIX}/health").json() == health


def test_all_three_detectors_are_described_trained_or_not() -> None:
    none = describe(None)["models"]
    assert {name: one["is_trained"] for name, one in none.items()} == dict.fromkeys(none, False)
    groups = {"b": {"models": {MODEL_NAMES[0]: {"is_trained": True}}}, "default": {"models": {}}}
    described = describe({"groups": groups})
    assert described["models"] == described["groups"]["default"]
    assert described["groups"]["b"][MODEL_NAMES[0]]["is_trained"]
