"""The training commands as a user starts them: own processes, own folders, real exit codes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from datasets import Dataset, save
from tests.fixtures.training import small_plant

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "--models", "isolation_forest,one_class_svm", "--trees", "20", "--svm-rows", "150",
    "--folds", "2",
)  # fmt: skip


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "VAR_DIR": str(tmp_path / "var"),
        "BENTOML_HOME": str(tmp_path / "bento"),
        "MLFLOW_ENABLED": "false",
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    data = small_plant(readings=300)
    save(tmp_path / "plant.csv", Dataset(data.feature_names, data.streams))
    return tmp_path / "plant.csv"


def command(
    environment: dict[str, str], module: str, *argv: str | Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, argv)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_fit_of_groups_without_mlflow_registers_in_files_and_imports(
    environment: dict[str, str], file: Path, tmp_path: Path
) -> None:
    done = command(
        environment, "training.fit", "--data", file, "--group-by", "asset_id", "--jobs", "2",
        *SMALL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "False events to expect" in done.stdout
    for asset in ("PUMP_001", "PUMP_002"):  # each in a process of its own
        assert f"{asset}: calibration" in done.stderr
    assert "champion at once" in done.stdout
    registry = tmp_path / "var" / "registry"
    assert (registry / "aliases" / "champion").read_text().strip() == "1"
    about = json.loads((registry / "versions" / "1" / "version.json").read_text())
    assert json.loads(about["tags"]["recipe"])["data"] == str(file)
    assert len(list((tmp_path / "bento" / "models" / "anomaly-bundle").glob("v1-*"))) == 1


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (10, "asset_id,timestamp,rms", "10 readings are too few"),
        (100, "asset_id,shift,rms", "column 'timestamp' is missing"),
    ],
)
def test_fit_says_in_a_sentence_why_it_cannot(
    environment: dict[str, str], tmp_path: Path, rows: int, header: str, message: str
) -> None:
    path = tmp_path / "bad.csv"
    day = "2026-01-01T" if "timestamp" in header else "at "  # what reads as a time would be taken
    lines = [f"P,{day}00:{i // 60:02}:{i % 60:02}Z,{i % 7}" for i in range(rows)]
    path.write_text("\n".join([header, *lines]) + "\n")
    done = command(environment, "training.fit", "--data", path, *SMALL)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_backtest_scores_what_comes_after_the_cut(
    environment: dict[str, str], file: Path, tmp_path: Path
) -> None:
    out, picture = tmp_path / "scores.csv", tmp_path / "scores.png"
    done = command(
        environment, "training.backtest", "--data", file, "--train-until", "240",
        "--out", out, "--plot", picture, "--fleet", *SMALL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for figure in ("per 1,000 normal readings", "budget 1 ", "F1", "missed-alarm rate", "events:"):
        assert figure in done.stdout
    with out.open() as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == [
        "asset_id", "timestamp", "final_score", "threshold", "is_anomaly", "criticality",
        "isolation_forest", "one_class_svm", "lstm_autoencoder", "log10_p",
    ]  # fmt: skip
    assert [row["asset_id"] for row in rows] == ["PUMP_001"] * 60 + ["PUMP_002"] * 60
    assert all(row["lstm_autoencoder"] == "" for row in rows)
    assert all(
        (float(r["final_score"]) >= float(r["threshold"])) == (r["is_anomaly"] == "true")
        for r in rows
    )
    assert picture.read_bytes()[:4] == b"\x89PNG"
