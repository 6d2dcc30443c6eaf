"""Choose the demo's data for training and replay: a simulated plant, or a file split in two."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from datasets import load, save
from errors import DatasetError

#: Share of each asset's readings used for training if the data are a file.
TRAIN_PART = 0.3


def training_file(data: Path | None, var: Path) -> Path | None:
    """Return the training file; None for the simulated plant, which the training creates itself."""
    if data is None:
        return None
    if not data.exists():
        raise DatasetError(f"{data} does not exist", field="--data")
    return write_first_part(data, var / "train.csv")


def replay_file(data: Path | None, var: Path) -> Path:
    """Return the file to replay."""
    if data is not None:
        return data.absolute()
    out = var / "plant.csv"
    command = [sys.executable, "-m", "training.simulate", "--out", str(out), "--from", "4000"]
    subprocess.run(command, check=True)
    return out


def write_first_part(data: Path, out: Path) -> Path:
    """Write the first part of each stream as CSV, without labels, which training does not need."""
    dataset = load(data)
    parts = [
        replace(stream.take(slice(max(1, int(len(stream.values) * TRAIN_PART)))), labels=None)
        for stream in dataset.streams
    ]
    save(out, replace(dataset, streams=parts))
    return out
