"""Fit the preprocessing: features to use, scales, drift, correlation, baselines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from errors import TrainingError
from models.arrays import Floats
from models.detectors.base import Array
from models.detectors.covariance import BLOCK, scarce, winsorised_std

_FLEET = 3  # fewest streams of a fleet of short runs, see drift_is_fault
_SHORT = 333  # readings: shorter runs are too short for an adaptive tail
#: Share of the identity in the correlation, unless the data show a better one.
SHRINKAGE: Final = 0.1
#: The least: where features follow a load widely, more hides how closely they follow it.
LEAST_SHRINKAGE: Final = 0.01
_OUTLYING = 4.0  # scaled readings are clipped here before they are correlated
_WIDEST = 100  # features, at most, to use their correlation
_FEW_STEPS = 10  # so many steps of drift show no correlation; it is shrunk accordingly


@dataclass(slots=True)
class Scales:
    """Result of :func:`fit_scales`; arrays are (d,) over the kept features, in own units."""

    kept: list[int]
    dropped: list[int]
    center: Floats
    spread: Floats
    drift: Floats
    notes: list[str] = field(default_factory=list)

    def without(self, columns: Collection[int]) -> Scales:
        """Return the scales with some of the kept features dropped, by their place among these."""
        left = np.array([j for j in range(len(self.kept)) if j not in columns], np.intp)
        kept = [self.kept[j] for j in left]
        dropped = sorted({*self.dropped, *(self.kept[j] for j in columns)})
        arrays = self.center[left], self.spread[left], self.drift[left]
        return Scales(kept, dropped, *arrays, self.notes)


def check_training(
    values: Sequence[Array], names: Sequence[str], least: int, *, missing: bool = False
) -> list[Floats]:
    """Return training data as float arrays, after validation.

    Parameters
    ----------
    values : list of (n_i, d)
    names : (d,)
        Feature names.
    least
        Fewest readings of all streams together.
    missing
        Whether values may be missing, as NaN.

    Raises
    ------
    TrainingError
        Too few rows, a wrong width, or NaN and infinities (with stream, row, column).
    """
    arrays = [np.asarray(v, np.float64) for v in values]
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != len(names):
            raise TrainingError(
                f"data: stream {i} has shape {array.shape}, expected (n, {len(names)})"
            )
        bad = np.argwhere(np.isinf(array) if missing else ~np.isfinite(array))
        if len(bad):
            row, column = int(bad[0][0]), int(bad[0][1])
            raise TrainingError(
                f"data: {array[row, column]} in stream {i}, row {row}, column {names[column]!r}"
                f" ({len(bad)} such values in all): not a finite number",
                field=f"features.{names[column]}",
            )
    rows = sum(len(a) for a in arrays)
    if rows < least:
        raise TrainingError(f"data: {rows} readings are too few, at least {least} are needed")
    return [a for a in arrays if len(a)]


def shrinkage_of(rows: Floats) -> float:
    """Return the least share of the identity with which ``rows`` (n, d) tell a correlation."""
    return SHRINKAGE if scarce(rows) else LEAST_SHRINKAGE


def fit_scales(
    streams: list[Floats],
    names: Sequence[str],
    fate: str = "not used",
    least: Floats | None = None,
) -> Scales:
    """Fit centre, spread and drift of each feature; drop (nearly) constant features.

    Parameters
    ----------
    streams : list of (n_i, d)
    names : (d,)
        Feature names.
    fate
        Consequence named in the note on each dropped feature.
    least : (d,)
        Spread given to constant features so that they are kept; 0: dropped.
    """
    pooled = np.concatenate(streams)
    center = np.median(pooled, axis=0)
    spread = winsorised_std(pooled)
    # the median magnitude: a single huge value must not make all others look constant
    magnitude = np.maximum(np.quantile(np.abs(pooled), 0.5, axis=0), 1e-300)
    if least is not None:
        spread = np.where(spread > 1e-9 * magnitude, spread, least)
    kept, dropped = [], []
    alike: dict[str, list[str]] = {}  # text of a note: features that it is about
    for j, name in enumerate(names):
        if spread[j] > 1e-9 * magnitude[j]:
            kept.append(j)
            continue
        dropped.append(j)
        moved = int((np.abs(pooled[:, j] - center[j]) > 1e-9 * magnitude[j]).sum())
        kind = f"moved in {moved} of {len(pooled):,} readings" if moved else "constant"
        alike.setdefault(f"{kind} ({center[j]:g}), {fate}", []).append(name)
    notes = [f"{', '.join(those)}: {what}" for what, those in alike.items()]
    drift = drift_per_reading([s[:, kept] for s in streams])
    return Scales(kept, dropped, center[kept], spread[kept], drift, notes)


def drift_per_reading(streams: list[Floats]) -> Floats:
    """Return each feature's drift per reading, (d,).

    It is the root mean square difference of consecutive 50-reading block means, less the part that
    noise within the blocks explains, divided by the block's length.
    """
    total = np.zeros(streams[0].shape[1])
    steps = 0
    for values in streams:
        blocks = len(values) // BLOCK
        if blocks < 2:
            continue
        cut = values[: blocks * BLOCK].reshape(blocks, BLOCK, -1)
        step = np.diff(cut.mean(axis=1), axis=0)
        noise = 2.0 * cut.var(axis=1).mean(axis=0) / BLOCK
        total += np.maximum((step**2).sum(axis=0) - noise * len(step), 0.0)
        steps += len(step)
    drift: Floats = np.sqrt(total / max(steps, 1)) / BLOCK
    return drift


def step_correlation(streams: list[Floats]) -> Floats:
    """Return the correlation (d, d) of the steps between block means; shrunk to 0 if few."""
    steps = [
        np.diff(s[: len(s) // BLOCK * BLOCK].reshape(-1, BLOCK, s.shape[1]).mean(axis=1), axis=0)
        for s in streams
        if len(s) >= 2 * BLOCK
    ]
    d = streams[0].shape[1]
    pooled = np.concatenate(steps) if steps else np.zeros((0, d))
    power = np.sqrt(np.maximum((pooled**2).sum(axis=0), 1e-300))
    correlation: Floats = (pooled / power).T @ (pooled / power)
    return correlation * max(0.0, 1.0 - _FEW_STEPS / max(len(pooled), 1))


def decorrelation(
    rows: Floats, ratio: Floats, drift_correlation: Floats, shrinkage: float = SHRINKAGE
) -> Floats | None:
    """Return the symmetric transform (d, d) that decorrelates scaled rows.

    The correlation is shrunk, so the transform amplifies no direction by more than
    ``shrinkage ** -0.5``. None if there are too few readings or too many features to estimate it,
    or the correlation is shrunk to none.

    Parameters
    ----------
    rows : (n, d)
        Scaled readings.
    ratio : (d,)
        Spread over scale: the part of the scale that is the readings' spread. The rest is drift.
    drift_correlation : (d, d)
        Correlation of drift, by :func:`step_correlation`.
    shrinkage
        Share of the identity in the correlation, in [0, 1].
    """
    n, d = rows.shape
    if d < 2 or d > _WIDEST or n < 10 * d or shrinkage >= 1.0:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):  # a constant feature correlates with none
        correlation = np.corrcoef(np.clip(rows, -_OUTLYING, _OUTLYING), rowvar=False)
    correlation = np.nan_to_num(correlation) * np.outer(ratio, ratio)
    rest = np.sqrt(np.maximum(1.0 - ratio**2, 0.0))
    correlation += drift_correlation * np.outer(rest, rest)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh((1.0 - shrinkage) * correlation + shrinkage * np.eye(d))
    whitening: Floats = (vectors / np.sqrt(np.maximum(values, shrinkage))) @ vectors.T
    return whitening


def drift_is_fault(streams: Sequence[Array]) -> bool:
    """Return whether slow drift counts as the fault by default.

    True for a fleet of short runs: at least three streams, so that units can be compared, with a
    median length below the 333 readings that an adaptive tail needs (one over its rate and pace).
    Levels then differ between units, and a run is about a unit's whole life: adaptation would hide
    wear.
    """
    return len(streams) >= _FLEET and float(np.median([len(s) for s in streams])) < _SHORT


def baseline_helps(streams: list[Floats], spread: Floats, readings: int) -> bool:
    """Return whether a stream's first readings predict its later level better than the group does.

    Compares, over streams and features in units of spread, the mean square of (mean of the rest -
    mean of the first readings) with that of (mean of the rest - the group's mean).

    Parameters
    ----------
    streams : list of (n_i, d)
    spread : (d,)
        Spread of each feature.
    readings
        Number of first readings in a baseline.
    """
    usable = [s for s in streams if len(s) >= 2 * readings]
    if len(usable) < 3:
        return False
    first = np.array([s[:readings].mean(axis=0) for s in usable]) / spread
    rest = np.array([s[readings:].mean(axis=0) for s in usable]) / spread
    own = float(((rest - first) ** 2).mean())
    group = float(((rest - rest.mean(axis=0)) ** 2).mean())
    return own < group
