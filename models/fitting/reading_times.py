"""Compute with the times of training readings: seconds since 1970, usual interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Floats, Times
from models.scoring.readings.clock import LIKE

_REGULAR: Final = 0.9  # least share of intervals like the median one, where they are regular


def epoch_seconds(times: Times) -> Floats:
    """Return times (n,) as seconds since 1970."""
    out: Floats = times.astype("datetime64[us]").astype(np.int64) / 1e6
    return out


def median_interval(timestamps: Sequence[Times] | None) -> float | None:
    """Return the median seconds between neighbouring readings (n_i,); None without times."""
    if not timestamps:
        return None
    steps = _intervals(timestamps)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else None


def regular_interval(timestamps: Sequence[Times] | None) -> float | None:
    """Return the median seconds between readings if nearly all intervals are like it, else None."""
    usual = median_interval(timestamps)
    if timestamps is None or usual is None:
        return None
    like = np.abs(_intervals(timestamps) - usual) <= LIKE * usual
    return usual if like.mean() >= _REGULAR else None


def _intervals(timestamps: Sequence[Times]) -> Floats:
    """Return the seconds (n,) between neighbouring readings of all streams."""
    steps = [np.diff(t).astype("timedelta64[us]").astype(np.float64) / 1e6 for t in timestamps]
    return np.concatenate(steps)
