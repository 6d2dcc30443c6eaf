"""A data set in memory: one reading, the readings of a stream, the streams of a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]

#: Columns that are no features.
RESERVED = ("asset_id", "sensor_id", "timestamp", "label")


@dataclass(frozen=True, slots=True)
class Reading:
    """One row; ``timestamp`` is aware UTC, ``features`` holds only what was measured."""

    asset_id: str
    sensor_id: str | None
    timestamp: datetime
    features: dict[str, float]
    label: int | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """The readings of one (asset_id, sensor_id), in the order of their times."""

    asset_id: str
    sensor_id: str | None
    timestamps: Times  # (n,) datetime64[us], UTC
    values: Floats  # (n, d), NaN where a cell was empty
    labels: npt.NDArray[np.int8] | None = None  # (n,) of 0 and 1


@dataclass(frozen=True, slots=True)
class Dataset:
    """A whole file in memory; the columns of every ``values`` are ``feature_names``."""

    feature_names: list[str]
    streams: list[Stream]
