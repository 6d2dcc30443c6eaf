"""Read the public data sets of the quality benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.arrays import Floats, Times

_NOT_FEATURES = ("anomaly", "changepoint")


@dataclass(slots=True)
class Series:
    """One continuous run: times (n,), values (n, d), label (n,) 1 while faulty."""

    name: str
    timestamps: Times
    values: Floats
    labels: NDArray[np.int8]
    features: list[str]


def read_skab(folder: Path) -> list[Series]:
    """Read the experiments of one SKAB folder (``;``-separated, 1 Hz), by name.

    Katser, Kozitsin: Skoltech Anomaly Benchmark, 2020.
    """
    out = []
    for path in sorted(folder.glob("*.csv"), key=lambda p: (len(p.stem), p.stem)):
        frame = pd.read_csv(path, sep=";", parse_dates=["datetime"])
        features = [c for c in frame.columns if c not in ("datetime", *_NOT_FEATURES)]
        labels = frame["anomaly"] if "anomaly" in frame else pd.Series(np.zeros(len(frame)))
        out.append(
            Series(
                path.stem,
                frame["datetime"].to_numpy("datetime64[us]"),
                frame[features].to_numpy(np.float64),
                labels.to_numpy().astype(np.int8),
                features,
            )
        )
    return out


def read_cmapss(path: Path) -> list[Series]:
    """Read the engines of one C-MAPSS file, run to failure, one reading per cycle.

    The label is 1 in the last 30 cycles. Times are invented, one hour per cycle. Saxena, Goebel,
    Simon, Eklund: Damage Propagation Modeling, PHM 2008.
    """
    table = np.loadtxt(path)
    features = [f"setting_{i}" for i in (1, 2, 3)] + [f"sensor_{i}" for i in range(1, 22)]
    origin = np.datetime64("2026-01-01T00:00:00", "us")
    out = []
    for unit in np.unique(table[:, 0]):
        rows = table[table[:, 0] == unit]
        n = len(rows)
        times = origin + np.arange(n) * np.timedelta64(3600, "s")
        labels = (np.arange(n) >= n - 30).astype(np.int8)
        out.append(Series(f"{int(unit)}", times, rows[:, 2:], labels, features))
    return out
