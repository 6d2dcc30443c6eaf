"""What the demo trains on and what it replays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets import Dataset, Stream, load, save
from deploy.demo_data import replay_file, training_file
from errors import DatasetError
from training import simulate


def test_training_sees_the_first_part_of_each_stream_without_labels(tmp_path: Path) -> None:
    times = np.datetime64("2026-01-01", "us") + np.arange(20) * np.timedelta64(60, "s")
    streams = [
        Stream(asset, None, times[:n], np.arange(n, dtype=float)[:, None], np.zeros(n, np.int8))
        for asset, n in (("A", 20), ("B", 2))
    ]
    data, var = tmp_path / "plant.csv", tmp_path / "var"
    var.mkdir()
    save(data, Dataset(["rms"], streams))
    before = data.read_bytes()
    part = training_file(data, var)
    assert part is not None
    assert part.parent == var
    found = {one.asset_id: one for one in load(part).streams}
    assert found["A"].values[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["B"].values[:, 0].tolist() == [0]  # one at least
    assert all(one.labels is None for one in found.values())
    assert replay_file(data, var) == data.absolute()
    assert data.read_bytes() == before


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv does not exist") as raised:
        training_file(tmp_path / "none.csv", tmp_path)
    assert raised.value.field == "--data"


def test_without_a_file_training_makes_its_own_plant_and_a_later_part_is_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    assert training_file(None, tmp_path) is None
    assert replay_file(None, tmp_path) == tmp_path / "plant.csv"
    assert commands == [
        [sys.executable, "-m", simulate.__name__, "--out", str(tmp_path / "plant.csv"),
         "--from", "4000"],
    ]  # fmt: skip
