"""``fleet.score --data postgresql``: what the bridge stored, with what people planned."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from db.assets import set_assets
from db.queries.copy import insert_detections
from db.queries.detections import detection_row
from db.queries.schedules import add_window, put_off_conditions, request_reset
from db.session import transaction
from fleet import score
from models.bundles.bundle import Bundle
from models.registry.base import CHAMPION, open_registry
from models.scoring.ensemble import score as score_work
from models.scoring.maintenance.maintenance_window import MaintenanceWindow
from models.scoring.maintenance.suppression import OffCondition
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_work import Reading, StreamWork
from tests.fixtures.bundle import points
from training.simulate import Plant

TOPIC = uuid4()
pytestmark = pytest.mark.timeout(600)


def store(engine: Engine, plant: Plant, assets: int) -> None:
    """Each asset's readings as the bridge stores them; and one of REST's, which is no sample."""
    rows = []
    for asset in range(assets):
        for at, point in enumerate(points(plant, asset)):
            assert point.timestamp is not None
            result = {
                "asset_id": plant.asset_ids[asset], "sensor_id": "S1", "final_score": 0.1,
                "timestamp": point.timestamp.isoformat(), "is_anomaly": False, "scores": [],
                "criticality": "low", "features": dict(point.features), "metadata": {},
            }  # fmt: skip
            rows.append(detection_row(result, topic_id=TOPIC, partition=asset, offset=at))
    rows.append(detection_row({**result, "asset_id": "REST"}, row_id=uuid4()))
    with transaction(engine) as connection:
        insert_detections(connection, rows)


def test_stored_readings_are_scored_with_what_people_planned(
    spark: Any,
    plant: Plant,
    bundle_dir: Path,
    bundle: Bundle,
    engine: Engine,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = points(plant, 0)
    start, middle = first[0].timestamp, first[450].timestamp
    assert start is not None
    assert middle is not None
    store(engine, plant, 2)
    window: dict[str, Any] = {
        "asset_id": plant.asset_ids[0], "sensor_id": None, "group": None,
        "start": start + timedelta(minutes=100), "end": start + timedelta(minutes=160),
        "rrule": None, "time_zone": "UTC", "reason": "oil", "alarms": True,
        "training": True,
    }  # fmt: skip
    condition = {"group": "default", "feature": "current", "operator": "<", "value": 17.0,
                 "hold_s": 60.0, "run_up_s": 0.0}  # fmt: skip
    with transaction(engine) as connection:
        set_assets(connection, {plant.asset_ids[1]: "critical"}, "ANNA")
        made = add_window(connection, window, "ANNA")
        put_off_conditions(connection, [condition], "ANNA")
        reset = request_reset(connection, plant.asset_ids[0], None, "ANNA")
        connection.exec_driver_sql("UPDATE stream_resets SET requested_at = %s", (middle,))
    registry = open_registry(None, "x", tmp_path)
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    for name, value in (("VAR_DIR", str(tmp_path)), ("MLFLOW_ENABLED", "false"),
                        ("DATABASE_URL", database_url)):  # fmt: skip
        monkeypatch.setenv(name, value)
    out = tmp_path / "out"
    until = (first[-1].timestamp or start) + timedelta(minutes=1)
    assert (
        score.main(["--data", "postgresql", "--out", str(out), "--until", until.isoformat()]) == 0
    )
    table = pq.read_table(out / "readings").sort_by("timestamp").to_pylist()
    planned = MaintenanceWindow(str(made["id"]), window["start"], window["end"],
                                asset_id=plant.asset_ids[0], reason="oil")  # fmt: skip
    off = OffCondition("current", "<", 17.0, 60.0)
    for asset, criticality in ((0, "medium"), (1, "critical")):
        name, given = plant.asset_ids[asset], points(plant, asset)
        cut, number = (450, reset["id"]) if asset == 0 else (len(given), 0)
        wanted: list[Any] = []
        past: list[Reading] = []
        state = None
        for part, asked in ((given[:cut], 0), (given[cut:], number)):
            work = StreamWork(name, "S1", None, criticality, state, past, part, reset=asked,
                              maintenance=[planned], off_conditions=[off])  # fmt: skip
            (outcome,) = score_work(loaded(registry, tmp_path), [work], ScoringPolicy())
            wanted += outcome.results
            state, past = outcome.state, window_of(part, outcome.window_length)
        found = [row for row in table if row["asset_id"] == name]
        assert len(found) == len(wanted) == 900
        for row, result in zip(found, wanted, strict=True):
            assert row["final_score"] == pytest.approx(result["final_score"], rel=0, abs=1e-9)
            assert row["threshold"] == result["threshold"]
            noted, meant = json.loads(row["metadata"]), result["metadata"]
            for key in ("suppressed", "restarted", "window", "asset_criticality"):
                assert noted.get(key) == meant.get(key)
    assert {row["suppressed"] for row in table} >= {None, "maintenance"}
    restarted = [r["timestamp"] for r in table if '"restarted":"reset"' in r["metadata"]]
    assert restarted == [middle.astimezone(UTC)]


def loaded(registry: Any, home: Path) -> Any:
    return Bundle.load(registry.fetch("1", home / "bundles"), "1").model_set("default")


def window_of(part: list[Reading], length: int) -> list[Reading]:
    return part[-length:] if length else []


def test_a_time_that_is_none_and_a_database_that_is_down_are_one_sentence(
    spark: Any,
    bundle_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry = open_registry(None, "x", tmp_path)
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_ENABLED", "false")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    given = ["--data", "postgresql", "--out", str(tmp_path / "out")]
    for options, message in (
        ([], "not available"),
        (["--schedules", "none"], "not available"),
        (["--schedules", "none", "--since", "soon"], "soon"),
    ):
        assert score.main([*given, *options]) == 1
        printed = capsys.readouterr().err
        assert message in printed
        assert "secret" not in printed
        assert "Traceback" not in printed
