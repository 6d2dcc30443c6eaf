"""Measure the time of a fit of 100,000 x 24, against that of another checkout.

Both run ``training.fit`` with its defaults; this checkout fits twice and measures detection power.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import OURS, Row
from training.simulate import ar1

_ROOT = Path(__file__).resolve().parent.parent
_ROWS, _FEATURES = 100_000, 24


def fit_time(other: Path, seed: int, quick: bool) -> list[Row]:
    """Return the CPU seconds of both with one job each, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plant.parquet"
        _write(file, _ROWS // (20 if quick else 1), seed)
        ours, theirs = (_seconds(checkout, file, Path(folder)) for checkout in (_ROOT, other))
    name = f"fit of {_ROWS:,} x {_FEATURES}"
    return [
        Row(name, OURS, "CPU seconds", ours),
        Row(name, "the other checkout", "CPU seconds", theirs),
        Row(name, OURS, "ratio", ours / theirs),
    ]


def _write(file: Path, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    load = ar1(rng, rows, 0.95)[:, None] * rng.normal(size=_FEATURES)
    frame = pd.DataFrame(
        10 + load + ar1(rng, (rows, _FEATURES), 0.7),
        columns=[f"f{j:02}" for j in range(_FEATURES)],
    )
    times = pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC")
    frame.insert(0, "timestamp", times)
    frame.insert(0, "asset_id", "A")
    frame.to_parquet(file)


def _seconds(checkout: Path, file: Path, folder: Path) -> float:
    """Return the CPU seconds of a checkout's ``training.fit``, with its stores under ``folder``."""
    home = folder / f"home-{checkout.name}"
    home.mkdir()
    own = {"PYTHONPATH": str(checkout), "MLFLOW_ENABLED": "false", "BENTOML_HOME": str(home),
           "OMP_NUM_THREADS": "1"}  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "training.fit", "--data", str(file), "--promote", "false",
         "--jobs", "1", "--no-native"],
        check=True, cwd=home, env={**os.environ, **own}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
