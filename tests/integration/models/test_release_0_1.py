"""What release 0.1 left on a customer's disk: it loads, scores equally, promotes and rolls back."""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundles.bundle import Bundle
from models.registry.base import CHAMPION, open_registry
from models.registry.promotion import load_version, promote, roll_back
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from models.scoring.stream_work import Reading

LEFT = Path(__file__).resolve().parents[2] / "fixtures" / "release_0_1"
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
WAS_UNDER = "/tmp/release_0_1_var"
START = datetime(2026, 1, 1, tzinfo=UTC)


def unpack(name: str, into: Path) -> Path:
    with tarfile.open(LEFT / name) as archive:
        archive.extractall(into, filter="data")
    return into


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(unpack("bundle.tar.xz", tmp_path_factory.mktemp("left")) / "bundle")


@pytest.fixture(scope="module")
def expected() -> dict[str, dict[str, list[Any]]]:
    return json.loads(gzip.decompress((LEFT / "expected.json.gz").read_bytes()))


def scored(
    bundle: Bundle, stream: tuple[str, str | None, str | None], points: list[Reading]
) -> list[dict[str, Any]]:
    model_set = bundle.model_set(bundle.group_for(*stream))
    return [r for part in replay(model_set, stream, iter(points), ScoringPolicy()) for r in part]


def points_of(names: list[str], values: np.ndarray, step: timedelta) -> list[Reading]:
    return [
        Reading(START + i * step, dict(zip(names, map(float, row), strict=True)))
        for i, row in enumerate(values)
    ]


def assert_equal(results: list[dict[str, Any]], before: dict[str, list[Any]]) -> None:
    """Scores to 1e-6 (another machine may round otherwise), decisions and events exactly."""
    now = np.array([r["final_score"] for r in results])
    np.testing.assert_allclose(now, before["final_score"], atol=1e-6, rtol=0)
    assert [r["is_anomaly"] for r in results] == before["is_anomaly"]
    events = [(r["metadata"].get("event") or {}).get("id") for r in results]
    assert events == before["event"]
    for result, scores in zip(results, before["scores"], strict=True):
        found = {s["model_name"]: s["score"] for s in result["scores"]}
        assert found == pytest.approx(scores, abs=1e-6)


def test_simulated_readings_score_as_before(bundle: Bundle, expected: dict[str, Any]) -> None:
    kept = np.load(LEFT / "readings.npz")
    times = [START.fromtimestamp(t / 1e6, UTC) for t in kept["timestamps"].tolist()]
    names = kept["names"].tolist()
    points = [
        Reading(time, dict(zip(names, row, strict=True)))
        for time, row in zip(times, kept["values"].tolist(), strict=True)
    ]
    assert_equal(scored(bundle, ("PUMP_001", "S1", None), points), expected["simulated"])


def test_c_mapss_scores_as_before(bundle: Bundle, expected: dict[str, Any]) -> None:
    path = SHARED / "cmapss" / "train_FD001.txt"
    if not path.exists():
        pytest.skip(f"{path} is not there: get C-MAPSS FD001 from NASA")
    columns = json.loads((LEFT / "columns.json").read_text())["cmapss"]
    rows = np.loadtxt(path)
    values = rows[rows[:, 0] == 1][:, columns["columns"]]
    points = points_of(columns["names"], values, timedelta(hours=1))
    assert_equal(scored(bundle, ("ENGINE_001", None, None), points), expected["cmapss_unit_1"])


def test_skab_scores_as_before(bundle: Bundle, expected: dict[str, Any]) -> None:
    path = SHARED / "skab" / "valve1" / "0.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there: get SKAB (valve1) from its repository")
    names = json.loads((LEFT / "columns.json").read_text())["skab"]
    values = np.genfromtxt(path, delimiter=";", skip_header=1, usecols=range(1, 9))
    points = points_of(names, values, timedelta(seconds=1))
    assert_equal(scored(bundle, ("RIG_0", None, None), points), expected["skab_valve1_0"])


@pytest.fixture
def mlflow_store(tmp_path: Path) -> str:
    """The store, moved here: artifacts are found by absolute paths in its tables."""
    database = unpack("mlflow.tar.xz", tmp_path) / "mlflow" / "mlflow.db"
    with sqlite3.connect(database) as connection:
        for table, column in (
            ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
            ("experiments", "artifact_location"), ("model_versions", "storage_location"),
        ):  # fmt: skip
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                (WAS_UNDER, str(tmp_path)),
            )
    connection.close()
    return f"sqlite:///{database}"


def test_mlflow_versions_load_promote_and_roll_back(mlflow_store: str, tmp_path: Path) -> None:
    registry = open_registry(mlflow_store, "anomaly-detection", tmp_path)
    assert registry.alias(CHAMPION) == "2"
    for version in ("1", "2"):
        loaded = load_version(registry, version, tmp_path / "cache")
        assert loaded.model_set(loaded.default_group).feature_names
    assert promote(registry, "1", "by hand") == "2"
    assert registry.alias(CHAMPION) == "1"
    assert roll_back(registry) == ("1", "2")
    assert registry.alias(CHAMPION) == "2"


@pytest.mark.parametrize("beside_new_code", [False, True])
def test_registered_version_loads_as_pyfunc(
    mlflow_store: str, tmp_path: Path, beside_new_code: bool
) -> None:
    """In an empty folder it brings its own code; here today's package answers for it."""
    script = (
        "import sys, mlflow, pandas as pd; mlflow.set_tracking_uri(sys.argv[1]);"
        "m = mlflow.pyfunc.load_model('models:/anomaly-detection@champion');"
        "names = m.metadata.signature.inputs.input_names();"
        "frame = pd.DataFrame([{n: 0.0 for n in names} | {'asset_id': 'PUMP_001',"
        " 'sensor_id': 'S1', 'timestamp': '2026-01-01T00:00:00Z'}])[names];"
        "print(m.predict(frame).to_json())"
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, mlflow_store],
        cwd=Path(__file__).resolve().parents[3] if beside_new_code else empty,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "final_score" in answer.stdout


def test_registry_of_files_loads(tmp_path: Path) -> None:
    unpack("registry.tar.xz", tmp_path)
    registry = open_registry(None, "anomaly-detection", tmp_path)
    assert registry.alias(CHAMPION) == "1"
    assert load_version(registry, "1", tmp_path / "cache").groups == ["default"]
