"""How preprocessing is fitted: which features, which scale, whether drift is normal, baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from errors import TrainingError
from models.base import Array

Floats = NDArray[np.float64]

_BLOCK = 50
_FLEET = 8


@dataclass(slots=True)
class Scales:
    """What :func:`fit_scales` found; arrays are (d,) over the kept features, in own units."""

    kept: list[int]
    dropped: list[int]
    center: Floats
    spread: Floats
    drift: Floats
    notes: list[str] = field(default_factory=list)


def check_training(values: Sequence[Array], names: Sequence[str], least: int) -> list[Floats]:
    """Training data as float arrays, refused by name where it cannot be used.

    Raises
    ------
    TrainingError
        No rows, too few of them, a wrong width, or NaN and infinities (with stream, row, column).
    """
    arrays = [np.asarray(v, np.float64) for v in values]
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != len(names):
            raise TrainingError(
                f"data: stream {i} has shape {array.shape}, expected (n, {len(names)})"
            )
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            row, column = int(bad[0][0]), int(bad[0][1])
            raise TrainingError(
                f"data: {array[row, column]} in stream {i}, row {row}, column {names[column]!r}"
                f" ({len(bad)} such values in all)",
                field=f"features.{names[column]}",
            )
    rows = sum(len(a) for a in arrays)
    if rows < least:
        raise TrainingError(f"data: {rows} readings are too few, at least {least} are needed")
    return [a for a in arrays if len(a)]


def robust_spread(values: Floats) -> Floats:
    """Standard deviation of each column of (n, d), winsorised at 0.5 and 99.5 %."""
    low, high = np.quantile(values, (0.005, 0.995), axis=0)
    spread: Floats = np.clip(values, low, high).std(axis=0)
    return spread


def fit_scales(streams: list[Floats], names: Sequence[str]) -> Scales:
    """Centre, spread and drift of each feature; constant and nearly constant ones are dropped.

    Raises
    ------
    TrainingError
        If no feature is left.
    """
    pooled = np.concatenate(streams)
    center = np.median(pooled, axis=0)
    spread = robust_spread(pooled)
    magnitude = np.maximum(np.abs(pooled).max(axis=0), 1e-300)
    notes, kept, dropped = [], [], []
    for j, name in enumerate(names):
        if spread[j] > 1e-9 * magnitude[j]:
            kept.append(j)
            continue
        dropped.append(j)
        kind = "constant" if np.ptp(pooled[:, j]) <= 1e-9 * magnitude[j] else "nearly constant"
        notes.append(f"{name}: {kind} ({center[j]:g}), not used")
    if not kept:
        raise TrainingError(
            f"data: all {len(names)} features are constant, there is nothing to learn from"
        )
    drift = drift_per_reading([s[:, kept] for s in streams])
    return Scales(kept, dropped, center[kept], spread[kept], drift, notes)


def drift_per_reading(streams: list[Floats]) -> Floats:
    """Root mean square slope of each feature, from 50-reading block means, noise taken off.

    A stream's slope is a straight line through its block means; what a line through pure noise
    of the blocks' own scatter would show is subtracted before averaging over streams.
    """
    total = np.zeros(streams[0].shape[1])
    weight = 0
    for values in streams:
        blocks = len(values) // _BLOCK
        if blocks < 3:
            continue
        cut = values[: blocks * _BLOCK].reshape(blocks, _BLOCK, -1)
        means = cut.mean(axis=1)
        t = np.arange(blocks) - (blocks - 1) / 2
        power = float((t**2).sum())
        slope = t @ means / power
        rest = means - means.mean(axis=0) - np.outer(t, slope)
        error = (rest**2).sum(axis=0) / max(blocks - 2, 1) / power
        total += blocks * np.maximum(slope**2 - error, 0.0) / _BLOCK**2
        weight += blocks
    slopes: Floats = np.sqrt(total / max(weight, 1))
    return slopes


def drift_is_fault(streams: Sequence[Array], horizon: int) -> bool:
    """The data-driven default: whether slow drift should count as the fault.

    True for a fleet of short runs: at least eight streams, the median one shorter than the
    horizon over which tolerated drift would be carried on. Levels then differ from unit to unit,
    every unit's life is about as long as the horizon, and tolerating drift would hide wear.
    """
    return len(streams) >= _FLEET and float(np.median([len(s) for s in streams])) < horizon


def baseline_helps(streams: list[Floats], spread: Floats, readings: int) -> bool:
    """Whether a stream's first readings tell its later level better than the group's does.

    Compares, over streams and features in units of spread, the variance of (mean of the rest -
    mean of the first readings) with that of (mean of the rest - the group's mean).
    """
    usable = [s for s in streams if len(s) >= 2 * readings]
    if len(usable) < 3:
        return False
    first = np.array([s[:readings].mean(axis=0) for s in usable]) / spread
    rest = np.array([s[readings:].mean(axis=0) for s in usable]) / spread
    own = float(((rest - first) ** 2).mean())
    group = float(((rest - rest.mean(axis=0)) ** 2).mean())
    return own < group
