"""Compute F1 over pooled readings, alarm rates with block-bootstrap intervals, and events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import Bools, Floats


def detection(labels: Sequence[NDArray[Any]], alarms: Sequence[Bools]) -> dict[str, float]:
    """Return F1, false-alarm rate and missed rate over all pooled readings (SKAB's protocol)."""
    y = np.concatenate(list(labels)).astype(bool)
    a = np.concatenate(list(alarms)).astype(bool)
    hit, false, missed = (a & y).sum(), (a & ~y).sum(), (~a & y).sum()
    return {
        "f1": float(2 * hit / max(2 * hit + false + missed, 1)),
        "false_alarm": float(false / max((~y).sum(), 1)),
        "missed": float(missed / max(y.sum(), 1)),
    }


def alarm_rate(
    streams: Sequence[Bools], block: int = 500, draws: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the rate over all streams with its 95 % interval from resampled blocks."""
    sums, sizes = [], []
    for alarms in streams:
        for start in range(0, len(alarms), block):
            part = alarms[start : start + block]
            sums.append(int(part.sum()))
            sizes.append(len(part))
    s, n = np.array(sums, np.float64), np.array(sizes, np.float64)
    rng = np.random.default_rng(seed)
    pick = rng.integers(len(s), size=(draws, len(s)))
    rates = s[pick].sum(axis=1) / n[pick].sum(axis=1)
    low, high = np.quantile(rates, (0.025, 0.975))
    return float(s.sum() / n.sum()), float(low), float(high)


def first_run(alarms: Bools, length: int) -> int | None:
    """Return the index at which ``length`` consecutive alarms are complete, or None."""
    if len(alarms) < length:
        return None
    full = np.convolve(alarms.astype(int), np.ones(length, int), "valid") == length
    return int(np.argmax(full)) + length - 1 if full.any() else None


def hotelling(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Return Hotelling's T^2 of both, from the training mean and covariance (pseudo-inverse)."""
    center = train.mean(axis=0)
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(train, rowvar=False)))

    def distance(x: Floats) -> Floats:
        d = x - center
        out: Floats = np.einsum("ij,jk,ik->i", d, inverse, d)
        return out

    return distance(train), distance(test)


def largest_z(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Return the largest absolute z over the features, of both."""
    center, spread = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-12)
    return (
        np.abs((train - center) / spread).max(axis=1),
        np.abs((test - center) / spread).max(axis=1),
    )


def events_seen(truth: Bools, alarms: Bools) -> int:
    """Count the runs of ``truth`` (n,) that contain an alarm."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], truth.astype(int), [0]])))
    spans = zip(edges[::2], edges[1::2], strict=True)
    return sum(bool(alarms[start:end].any()) for start, end in spans)
