"""A million readings are trained on within 2 GB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS, FEATURES, MAX_MB = 1_000_000, 24, 2048
# in a process of its own, so that the peak of its one child is known
SCRIPT = """
import json, resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "training.fit", *sys.argv[1:]])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"code": done.returncode, "peak_mb": peak}))
"""


@pytest.mark.soak
def test_a_million_readings_fit_into_two_gigabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, FEATURES))
    values += rng.normal(size=(ROWS, 1))  # what the features have in common
    np.savez(tmp_path / "data.npz", values=values, names=np.array([f"f{i}" for i in range(24)]))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "--data", str(tmp_path / "data.npz"), "--no-native"],
        cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False,
        env={
            **os.environ,
            "VAR_DIR": str(tmp_path / "var"),
            "BENTOML_HOME": str(tmp_path / "bento"),
            "MLFLOW_ENABLED": "false",
        },
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0, done.stderr[-2000:]
    assert found["peak_mb"] < MAX_MB
