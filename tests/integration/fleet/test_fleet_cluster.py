"""The commands as processes: on a standalone cluster of two workers, and within bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.bundles.bundle import Bundle
from models.fitting.model_set_fit import fit_model_set
from models.registry.base import CHAMPION, open_registry
from models.scoring.policy import ScoringPolicy
from models.scoring.stream_replay import replay
from tests.fixtures.bundle import points
from tests.fixtures.spark import ROOT, needs_spark, options
from tests.fixtures.training import TINIEST
from training.simulate import Plant

pytestmark = pytest.mark.timeout(600)
_MB = 2**20


def start(var_dir: Path, *command: str, log: Path) -> subprocess.Popen[bytes]:
    """One of the commands as a process, its output in ``log``."""
    environment = {
        **os.environ, "VAR_DIR": str(var_dir), "MLFLOW_ENABLED": "false", "PYTHONPATH": str(ROOT),
        "BENTOML_HOME": str(var_dir / "bentoml"),
    }  # fmt: skip
    with log.open("wb") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", *command], cwd=ROOT, env=environment, stdout=sink, stderr=sink
        )


def finish(process: subprocess.Popen[bytes], log: Path) -> str:
    """Its output, once it ended well."""
    try:
        assert process.wait(300) == 0, log.read_text()[-4000:]
    finally:
        process.kill()
    return log.read_text()


def champion(var_dir: Path, bundle: Path) -> None:
    registry = open_registry(None, "anomaly-detection", var_dir)
    registry.set_alias(CHAMPION, registry.register(bundle))


def test_a_cluster_of_two_workers_scores_and_fits(
    spark_cluster: str, plant: Plant, bundle_dir: Path, bundle: Bundle, tmp_path: Path
) -> None:
    champion(tmp_path, bundle_dir)
    data = tmp_path / "plant.parquet"
    columns = {
        name: np.concatenate([values[:300, j] for values in plant.values])
        for j, name in enumerate(plant.feature_names)
    }
    times = np.tile(plant.timestamps[:300].astype("datetime64[us]"), 3)
    keys = {"asset_id": np.repeat(plant.asset_ids, 300), "timestamp": pa.array(times)}
    pq.write_table(pa.table({**keys, **columns}), data)
    where = ["--master", spark_cluster, *options()]
    log = tmp_path / "score.log"
    out = ["--out", str(tmp_path / "out"), "--partitions", "4"]
    finish(start(tmp_path, "fleet.score", "--data", str(data), *out, *where, log=log), log)
    found = pq.read_table(tmp_path / "out" / "readings").sort_by("timestamp").to_pylist()
    assert len(found) == 900
    for asset in range(3):
        name = plant.asset_ids[asset]
        stream = (name, None, None)
        given = iter(points(plant, asset, 0, 300))
        results = replay(bundle.model_set("default"), stream, given, ScoringPolicy())
        wanted = [result for part in results for result in part]
        mine = [row for row in found if row["asset_id"] == name]
        for row, result in zip(mine, wanted, strict=True):
            assert row["timestamp"].astimezone(UTC).isoformat() == result["timestamp"]
            assert row["final_score"] == pytest.approx(result["final_score"], rel=0, abs=1e-9)
            event = result["metadata"].get("event")
            assert json.loads(row["metadata"]).get("event") == event
    log = tmp_path / "fit.log"
    small = ["--models", "isolation_forest", "--folds", "2", "--trees", "10", "--holdout", "0"]
    by = ["--group-by", "asset_id", *small, "--promote", "false"]
    printed = finish(start(tmp_path, "fleet.fit", "--data", str(data), *by, *where, log=log), log)
    assert "Fitted 3 of 3 groups" in printed
    registry = open_registry(None, "anomaly-detection", tmp_path)
    fitted = Bundle.load(registry.fetch("2", tmp_path / "fetched"))
    assert fitted.groups == sorted(plant.asset_ids)
    assert registry.alias(CHAMPION) == "1"


def worker_memory(process: subprocess.Popen[bytes]) -> float:
    """Resident megabytes of the largest of a command's Python workers, at its peak."""
    peak = 0.0
    while True:
        try:
            process.wait(0.1)
            return peak
        except subprocess.TimeoutExpired:
            peak = max([peak, *_workers(process.pid)])


def _workers(pid: int) -> list[float]:
    found = []
    try:
        for one in psutil.Process(pid).children(recursive=True):
            try:
                if "pyspark.daemon" in one.cmdline():
                    found.append(one.memory_info().rss / _MB)
            except psutil.Error:
                continue
    except psutil.Error:
        pass
    return found


def test_half_a_million_readings_of_one_stream_pass_in_bounded_memory(
    plant: Plant, tmp_path: Path
) -> None:
    needs_spark()
    normal = plant.cut(0, 600)
    names = normal.feature_names[:3]
    values = [part[:, :3] for part in normal.values]
    small = replace(TINIEST, models=("isolation_forest",))
    model_set, _ = fit_model_set(values, normal.times(), names, small)
    Bundle({"default": model_set}).save(tmp_path / "bundle")
    champion(tmp_path, tmp_path / "bundle")
    n = 500_000
    rows = np.random.default_rng(0).integers(0, len(values[0]), n)
    times = np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(10, "s")
    columns: dict[str, Any] = {name: values[0][rows, j] for j, name in enumerate(names)}
    table = pa.table({"asset_id": ["A"] * n, "timestamp": pa.array(times), **columns})
    pq.write_table(table, tmp_path / "long.parquet")
    log = tmp_path / "score.log"
    given = ["--data", str(tmp_path / "long.parquet"), "--out", str(tmp_path / "out")]
    process = start(tmp_path, "fleet.score", *given, "--master", "local[1]", *options(), log=log)
    peak = worker_memory(process)
    finish(process, log)
    counted = pq.read_table(tmp_path / "out" / "streams", columns=["readings"])
    assert sum(counted["readings"].to_pylist()) == n
    assert 20 < peak < 300, f"{peak:.0f} MB"
