"""Leave rows of zeros out of training (:mod:`models.scoring.features.zero_rows`).

Rows in which each of several features is 0 are no measurements where

- they recur, in RECURS separate runs or more: a single run is an event like any other;
- they are few, since a machine that is often off has an operating mode at 0;
- some feature has all its other values on one side of 0, so that 0 lies outside of them.

Otherwise they pass for an operating mode of all features, beside which faults of a feature that
never moves as far are not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Times
from models.fitting.garbage.runs import lengths, starts
from models.fitting.reading_times import median_interval
from models.scoring.features.zero_rows import ZeroRows

#: Fewest separate runs.
RECURS: Final = 3
#: How much longer than in training a run may last live.
_LONGER: Final = 2.0


def without_zero_rows(
    streams: Sequence[Floats],
    timestamps: Sequence[Times] | None,
    names: Sequence[str],
    share: float,
) -> tuple[list[Floats], list[Times] | None, ZeroRows | None, list[str]]:
    """Return training data without rows of zeros, what was learned of these, and a note on them.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings as received, NaN where nothing was measured.
    timestamps : list of (n_i,), or None
        Their times. Without times nothing is left out: it is not known how long zeros last.
    names : (d,)
        Feature names.
    share
        Largest share of readings that may be rows of zeros.
    """
    rows = rows_of_zeros(streams, share)
    interval = median_interval(timestamps)
    if timestamps is None or interval is None or not any(zero.any() for zero in rows):
        return list(streams), None if timestamps is None else list(timestamps), None, []
    lasted = np.concatenate(list(map(_lasted, timestamps, rows)))
    learned = ZeroRows(tuple(names), _LONGER * (float(lasted.max()) + interval))
    note = (
        f"{np.concatenate(rows).sum():,} readings, in {len(lasted):,} runs, are 0 in every feature:"
        " devices send this while they restart, so they were left out. Live, such readings are"
        " marked as those of a machine that is off and not scored, for up to"
        f" {learned.longest_s:,.0f} s; zeros that last longer are judged (--trim 0 keeps them)"
    )
    left = [i for i, zero in enumerate(rows) if not zero.all()]
    kept = [streams[i][~rows[i]] for i in left]
    return kept, [timestamps[i][~rows[i]] for i in left], learned, [note]


def rows_of_zeros(streams: Sequence[Floats], share: float, fewest: int = RECURS) -> list[Bools]:
    """Return which readings (n_i,) of each stream are rows of zeros that are no measurements.

    Parameters
    ----------
    streams, share
        As for :func:`without_zero_rows`.
    fewest
        Fewest separate runs of them.
    """
    rows = [_zeros(values) for values in streams]
    if _no_measurements(streams, rows, share, fewest):
        return rows
    return [zero & False for zero in rows]


def _zeros(values: Floats) -> Bools:
    """Return in which readings (n,) all of several values are 0."""
    sent = ~np.isnan(values)
    out: Bools = ((values == 0) | ~sent).all(axis=1) & (sent.sum(axis=1) > 1)
    return out


def _no_measurements(
    streams: Sequence[Floats], rows: Sequence[Bools], share: float, fewest: int
) -> bool:
    """Return whether rows (n_i,) of zeros are no measurements."""
    every = np.concatenate(rows)
    runs = sum(len(starts(zero)) for zero in rows)
    if runs < fewest or every.mean() > share:
        return False
    others = np.concatenate(streams)[~every]
    others = others[:, ~np.isnan(others).all(axis=0)]
    one_sided = (np.nanmin(others, axis=0) > 0) | (np.nanmax(others, axis=0) < 0)
    return bool(one_sided.any())


def _lasted(times: Times, zero: Bools) -> Floats:
    """Return the seconds from the first to the last reading of each run, pauses not counted."""
    intervals: Floats = (lengths(zero) - 1).astype(np.float64)
    return intervals * (median_interval([times]) or 0.0)
