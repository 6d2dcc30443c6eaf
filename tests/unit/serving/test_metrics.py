"""What the metrics of several worker processes add up to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.metrics import forget_dead_workers


def test_a_worker_that_was_killed_no_longer_counts_as_one_with_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    for process in (killed.pid, os.getpid()):
        for kind in ("gauge_livesum", "gauge_livemax", "gauge_mostrecent", "counter"):
            (tmp_path / f"{kind}_{process}.db").touch()
    forget_dead_workers()  # a single process: no folder, and nothing to do
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    forget_dead_workers()
    left = {path.name for path in tmp_path.iterdir() if str(killed.pid) in path.name}
    assert left == {f"gauge_mostrecent_{killed.pid}.db", f"counter_{killed.pid}.db"}
    assert len(list(tmp_path.iterdir())) == 6
