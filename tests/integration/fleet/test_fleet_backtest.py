"""``fleet.backtest`` on what ``fleet.score`` wrote: incidents, what if, faults found."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from db.queries.feedback import add_feedback
from db.session import transaction
from fleet import backtest, score
from models.registry.base import CHAMPION, open_registry
from schemas import parse_timestamp
from training.simulate import Plant

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def scored(
    spark: Any, plant: Plant, bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A scored plant and the VAR_DIR of its bundle."""
    home = tmp_path_factory.mktemp("scored")
    registry = open_registry(None, "anomaly-detection", home)
    registry.set_alias(CHAMPION, registry.register(bundle_dir))
    times = np.tile(plant.timestamps.astype("datetime64[us]"), len(plant.asset_ids))
    columns = {
        name: np.concatenate([values[:, j] for values in plant.values])
        for j, name in enumerate(plant.feature_names)
    }
    keys = {"asset_id": np.repeat(plant.asset_ids, len(plant.timestamps))}
    pq.write_table(pa.table({**keys, "timestamp": pa.array(times), **columns}), home / "p.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAR_DIR", str(home))
        patch.setenv("MLFLOW_ENABLED", "false")
        given = ["--data", str(home / "p.parquet"), "--out", str(home / "out")]
        assert score.main(given) == 0
    return home / "out", home


@pytest.fixture
def run(scored: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``run(*options)``: the command; what it wrote."""
    monkeypatch.setenv("VAR_DIR", str(scored[1]))
    monkeypatch.setenv("MLFLOW_ENABLED", "false")

    def command(*options: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        out = tmp_path / "what_if"
        assert backtest.main(["--scores", str(scored[0]), "--out", str(out), *options]) == 0
        tables = (pq.read_table(out / name).to_pylist() for name in ("what_if", "incidents"))
        rows, found = tables
        return sorted(rows, key=lambda row: row["factor"]), found

    return command


def test_the_budget_that_is_set_gives_the_incidents_of_the_service(
    run, scored, plant, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("REOPEN_GAP_S", "0.001")
    faults = tmp_path / "faults.csv"
    spans = [
        (f.asset_id, plant.timestamps[f.start], plant.timestamps[f.end - 1]) for f in plant.faults
    ]
    faults.write_text("asset_id,start,end\n" + "\n".join(f"{a},{s},{e}" for a, s, e in spans))
    picture = tmp_path / "what_if.png"
    rows, found = run("--faults", str(faults), "--plot", str(picture), "--operators", "2")
    readings = pq.read_table(scored[0] / "readings").to_pylist()
    opened = {(r["event_id"], r["timestamp"]) for r in readings if r["incident"]}
    assert opened
    assert {(r["event_id"], r["opened_at"]) for r in found if r["factor"] == 1.0} == opened
    counts = [row["incidents"] for row in rows]
    assert counts == sorted(counts)
    assert counts[2] == len(opened)
    own = rows[2]
    assert own["incidents_per_asset_month"] == pytest.approx(len(opened) / (3 / 30))
    assert own["alarms_per_operator_day"] == pytest.approx(len(opened) / 2)
    assert (own["faults"], own["faults_found"]) == (3, 3)
    leads = []
    for asset, start, end in spans:
        during = [
            r for r in found
            if r["factor"] == 1.0 and r["asset_id"] == asset
            and r["opened_at"] <= utc(end) and r["last_at"] >= utc(start)
        ]  # fmt: skip
        leads.append((utc(end) - min(r["opened_at"] for r in during)).total_seconds())
    assert own["median_lead_h"] == pytest.approx(float(np.median(leads)) / 3600)
    assert own["false_per_asset_month"] < own["incidents_per_asset_month"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "As set: acceptable" in printed


def utc(at: Any) -> Any:
    return parse_timestamp(str(at))


def test_an_asset_whose_criticality_was_changed_counts_once(spark: Any, tmp_path: Path) -> None:
    times = np.datetime64("2026-01-01", "us") + np.arange(4) * np.timedelta64(1, "h")
    kinds = ["high", "high", "low", "medium"]
    readings = {
        "asset_id": ["A", "A", "A", "B"],
        "timestamp": times,
        "metadata": [f'{{"asset_criticality": "{kind}"}}' for kind in kinds],
        "error": pa.nulls(4, pa.string()),
    }
    days = {
        "asset_id": ["A", "B"], "day": ["2026-01-01"] * 2, "readings": [3, 1], "errors": [0, 0],
        "bundle_version": ["1", "1"],
    }  # fmt: skip
    for name, columns in (("readings", readings), ("streams", days)):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(columns), tmp_path / name / "part.parquet")
    assert backtest.exposure_of(spark, str(tmp_path)).assets == {"low": 1, "medium": 1}


def test_events_close_together_are_one_incident(run, monkeypatch):
    monkeypatch.setenv("REOPEN_GAP_S", "0.001")
    apart, _ = run()
    monkeypatch.setenv("REOPEN_GAP_S", str(30 * 86_400))
    joined, found = run()
    assert joined[4]["incidents"] <= 3 <= apart[4]["incidents"]
    streams = [(r["factor"], r["asset_id"]) for r in found]
    assert len(set(streams)) == len(streams)


def test_spans_that_people_confirmed_are_the_faults(
    run, plant: Plant, engine: Engine, database_url: str, monkeypatch
):
    monkeypatch.setenv("DATABASE_URL", database_url)
    fault = plant.faults[0]
    start, end = (utc(plant.timestamps[at]) for at in (fault.start, fault.end - 1))
    verdict = {
        "id": uuid4(), "asset_id": fault.asset_id, "sensor_id": None, "feature": None,
        "starts_at": start, "ends_at": end, "verdict": "confirmed", "fault_code": None,
        "note": None, "created_by": "ANNA", "group_name": None, "incident_id": None,
        "by_closing": False, "client_token": None,
    }  # fmt: skip
    with transaction(engine) as connection:
        assert add_feedback(connection, verdict) is not None
        assert add_feedback(connection, {**verdict, "id": uuid4(), "verdict": "false_alarm"})
    rows, _ = run("--faults", "postgresql")
    assert (rows[2]["faults"], rows[2]["faults_found"]) == (1, 1)


def test_what_cannot_be_told_is_one_sentence(scored, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VAR_DIR", str(scored[1]))
    monkeypatch.setenv("MLFLOW_ENABLED", "false")
    bad = tmp_path / "faults.csv"
    bad.write_text("asset_id,start,end\nA,soon,2026-01-01\n")
    for options, message in (
        (["--scores", str(tmp_path)], "is not output of fleet.score"),
        (["--scores", str(scored[0]), "--faults", str(bad)], "--faults: row 1: start: 'soon'"),
        (["--scores", str(scored[0]), "--faults", "none.csv"], "none.csv"),
    ):
        assert backtest.main([*options, "--out", str(tmp_path / "out")]) == 1
        assert message in capsys.readouterr().err
