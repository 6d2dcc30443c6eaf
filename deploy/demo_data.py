"""Choose what the demo trains on and what it replays: a simulated plant, or a file cut in two."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from datasets import load
from errors import DatasetError

#: Share of each asset's readings that training sees when the data are a file.
TRAIN_PART = 0.3


def training_file(data: Path | None, var: Path) -> Path | None:
    """Return the file to train on; None for the simulated plant, which training makes itself."""
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
    """Write the first part of each stream as CSV, without labels, of which training has no use."""
    dataset = load(data)
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["asset_id", "sensor_id", "timestamp", *dataset.feature_names])
        for stream in dataset.streams:
            for row in range(max(1, int(len(stream.values) * TRAIN_PART))):
                values = ["" if v != v else repr(float(v)) for v in stream.values[row]]
                when = f"{stream.timestamps[row].astype('datetime64[us]')}+00:00"
                writer.writerow([stream.asset_id, stream.sensor_id or "", when, *values])
    return out
