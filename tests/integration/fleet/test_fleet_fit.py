"""``fleet.fit`` on a local Spark beside ``training.fit`` on the same file, with a real MLflow."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import training.fit
from fleet import fit
from fleet.spark_worker import one_thread
from models.bundles.bundle import Bundle
from models.registry.base import CHAMPION, open_registry
from models.registry.promotion import VERDICT_TAG
from training.simulate import simulate

TINY = [
    "--window", "6", "--folds", "2", "--trees", "10", "--svm-rows", "100", "--hidden", "4",
    "--epochs", "1", "--max-windows", "100",
]  # fmt: skip
pytestmark = pytest.mark.timeout(600)


def plant(path: Path) -> Path:
    """Two pumps and a motor of two types, and a machine that hardly says anything."""
    made = simulate(assets=3, readings=400, seed=5)
    parts = []
    for i, (asset, values, labels) in enumerate(
        zip(made.asset_ids, made.values, made.labels, strict=True)
    ):
        n = len(values) if i < 2 else 20
        parts.append(
            pa.table(
                {
                    "asset_id": [asset] * n,
                    "timestamp": pa.array(made.timestamps[:n].astype("datetime64[us]")),
                    "type": [f"type-{i}"] * n,
                    **{f: values[:n, j] for j, f in enumerate(made.feature_names[:3])},
                    "label": labels[:n],
                }
            )
        )
    table = pa.concat_tables(parts)
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("by", ["type"])
def test_it_comes_to_what_a_training_on_one_machine_comes_to(
    by: str,
    spark: Any,
    make_mlflow: Callable[[Path], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bento"))
    data = plant(tmp_path / "plant.parquet")
    shuffled = pq.read_table(data)
    shuffled = shuffled.take(np.random.default_rng(1).permutation(len(shuffled)))
    pq.write_table(shuffled, tmp_path / "shuffled.parquet")
    found = {}
    for name, main, path, more in (
        ("one", training.fit.main, data, ["--jobs", "1", "--no-native"]),
        ("fleet", fit.main, tmp_path / "shuffled.parquet", []),
    ):
        var_dir = tmp_path / name
        uri = make_mlflow(var_dir)
        monkeypatch.setenv("VAR_DIR", str(var_dir))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # which MLflow else sets for good
        assert main(["--data", str(path), "--group-by", by, *TINY, *more]) == 0
        found[name] = outcome(uri, var_dir)
        printed = capsys.readouterr().out
        assert "group 'type-2': 20 readings are too few" in printed, "the group that fails is named"
    one, fleet = found["one"], found["fleet"]
    assert fleet["version"] == one["version"], "the same model sets, to the last digit"
    assert (fleet["groups"], fleet["twins"]) == (one["groups"], one["twins"]) == (
        ["type-0", "type-1"], ["type-0", "type-1"]
    )  # fmt: skip
    assert fleet["metrics"] == one["metrics"]
    for name in ("groups.csv", "power.csv", "feature_statistics.csv"):
        assert fleet[name] == one[name], name
    assert fleet["runs"] == one["runs"]
    assert fleet["champion"] == "1", "one registration"


def outcome(uri: str, var_dir: Path) -> dict[str, Any]:
    """What MLflow holds of the only training."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    registry = open_registry(uri, "anomaly-detection", var_dir)
    (version,) = registry.versions()
    bundle = Bundle.load(registry.fetch(version["version"], var_dir / "fetched"))
    experiment = client.get_experiment_by_name("anomaly-detection")
    runs = client.search_runs([experiment.experiment_id])
    parent = client.get_run(version["run_id"])
    files = client.download_artifacts(version["run_id"], "", str(fresh(var_dir / "files")))
    return {
        "version": version["tags"]["content_version"],
        "champion": registry.alias(CHAMPION),
        "groups": bundle.groups,
        "twins": bundle.twin().groups,
        "metrics": {k: v for k, v in parent.data.metrics.items() if "seconds" not in k},
        "runs": sorted(run.data.tags["mlflow.runName"] for run in runs),
        **{
            name: table(next(Path(files).rglob(name)))
            for name in ("groups.csv", "power.csv", "feature_statistics.csv")
        },
    }


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [
            {k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)
        ]


def test_each_task_has_one_thread_whatever_its_environment_says(spark: Any) -> None:
    def threads(batches: Any) -> Any:
        import os

        import numba
        import torch
        from threadpoolctl import threadpool_info

        from training.fitting.parallel_fit import one_thread as torch_and_blas

        one_thread()
        torch_and_blas()
        answer = {
            "numba": numba.get_num_threads(),
            "torch": torch.get_num_threads(),
            "blas": max((pool["num_threads"] for pool in threadpool_info()), default=1),
            "environment": os.environ["OMP_NUM_THREADS"],
        }
        for _ in batches:
            yield pa.RecordBatch.from_pydict({"answer": [json.dumps(answer)]})

    rows = spark.range(2).repartition(2).mapInArrow(threads, "answer string").collect()
    assert [json.loads(row["answer"]) for row in rows] == [
        {"numba": 1, "torch": 1, "blas": 1, "environment": "1"}
    ] * len(rows)


def test_no_group_that_can_be_fitted_is_an_error_that_names_one(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    monkeypatch.setenv("MLFLOW_ENABLED", "false")
    short = pq.read_table(plant(tmp_path / "plant.parquet")).slice(0, 30)
    pq.write_table(short, tmp_path / "short.parquet")
    given = ["--data", str(tmp_path / "short.parquet"), "--group-by", "asset_id", *TINY]
    assert fit.main(given) == 1
    assert "error: group 'PUMP_001': " in capsys.readouterr().err
    assert open_registry(None, "x", tmp_path).versions() == []


def test_a_challenger_is_compared_as_a_training_on_one_machine_compares_it(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLED", "false")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bento"))
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "one"))
    whole = plant(tmp_path / "plant.parquet")
    table = pq.read_table(whole)
    early = pa.concat_tables([table.slice(0, 240), table.slice(400, 240)])
    pq.write_table(early, tmp_path / "early.parquet")
    small = ["--group-by", "type", "--models", "isolation_forest", "--folds", "2", "--trees", "10"]
    one = [*small, "--jobs", "1", "--no-native"]
    assert training.fit.main(["--data", str(tmp_path / "early.parquet"), *one]) == 0
    shutil.copytree(tmp_path / "one", tmp_path / "fleet")
    assert training.fit.main(["--data", str(whole), *one]) == 0
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "fleet"))
    assert fit.main(["--data", str(whole), *small]) == 0
    verdicts = []
    for name in ("one", "fleet"):
        registry = open_registry(None, "anomaly-detection", tmp_path / name)
        (new,) = (one for one in registry.versions() if one["version"] == "2")
        verdicts.append((registry.alias(CHAMPION), new["tags"][VERDICT_TAG]))
    assert verdicts[0] == verdicts[1]
    assert re.search("its false-alarm rate|injected faults, the champion", verdicts[1][1])
