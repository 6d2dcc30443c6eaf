"""Notice sensors that have failed: what they send is no measurement, or they send nothing.

:mod:`models.scoring.features.missing_runs` says when.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from models.arrays import Bools, Floats
from models.scoring.features.missing_runs import MissingRuns, Run
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.prepared import PreparedReading
from models.scoring.readings.clock import Step
from models.scoring.stream_state import StreamState


def blank_garbage(
    pre: Preprocessing, past: Floats, found: Bools, lacking: Sequence[Sequence[str]]
) -> list[Sequence[str]]:
    """Set values of a window that no sensor measured to NaN; return what its readings then lack.

    A window has such values of sensors that failed (:func:`mark_missing`).

    Parameters
    ----------
    pre
        Preprocessing of the stream's group.
    past : (n, d)
        The window's rows, changed in place.
    found : (n, d)
        Which of them are garbage; those of counters are rates, and are left.
    lacking : n sequences
        What each lacks.
    """
    out = list(lacking)
    if not (found.any() or pre.limits):
        return out
    found = found.copy()
    for name, (lowest, highest) in pre.limits.items():
        if name in pre.names:
            column = pre.names.index(name)
            if lowest is not None:
                found[:, column] |= past[:, column] < lowest
            if highest is not None:
                found[:, column] |= past[:, column] > highest
    if not found.any():
        return out
    for name in () if pre.counters is None else pre.counters.names:
        found[:, pre.names.index(name)] = False
    past[found] = math.nan
    for row in np.flatnonzero(found.any(axis=1)).tolist():
        out[row] = [*out[row], *(pre.names[j] for j in np.flatnonzero(found[row]).tolist())]
    return out


def mark_garbage(pre: Preprocessing, readings: Sequence[PreparedReading], found: Bools) -> None:
    """Mark the values of each reading that no sensor measured.

    Parameters
    ----------
    pre
        Preprocessing of the stream's group.
    readings
        Usable readings.
    found : (n, d)
        Which of their values are garbage.
    """
    for row, column in np.argwhere(found).tolist() if found.any() else ():
        readings[row].mark_outside([pre.names[column]])


def mark_missing(
    pre: Preprocessing, state: StreamState, readings: Sequence[PreparedReading], raw: Floats
) -> None:
    """Mark features that lack values for longer than in training: their sensors have failed.

    Late and suppressed readings do not count, but their sensors have failed just as well.

    Parameters
    ----------
    pre, state
        Of the stream; the state counts how long features have lacked values.
    readings
        Usable readings, whose place in time is known.
    raw : (n, d)
        Their values, changed in place: those of sensors that failed become NaN.
    """
    assert pre.missing_runs is not None  # noqa: S101
    for reading, row in zip(readings, raw, strict=True):
        if not (reading.imputed or reading.outside or state.missing.known):
            continue
        lacking = [pre.names.index(name) for name in reading.imputed]
        garbage = [pre.names.index(name) for name in reading.outside if name in pre.names]
        late = reading.step is Step.LATE
        if not late and reading.suppressed is None:
            time = reading.received.timestamp
            assert time is not None  # noqa: S101
            failed = _rarities(pre.missing_runs, state.missing.known)
            state.missing.take(lacking, garbage, time.timestamp())
            reading.mended = not failed.keys() <= state.missing.known.keys()
        if reading.outside and _replaceable(pre, reading) and state.missing.failed(garbage):
            reading.imputed = [name for name in pre.names if name in _lacks(reading)]
            reading.failed, reading.outside = reading.outside, ()
            row[garbage] = math.nan
        if late:
            continue  # it may be of an earlier outage
        runs = {j: run for j, run in state.missing.known.items() if j in {*lacking, *garbage}}
        found = _rarities(pre.missing_runs, runs)
        rare = {pre.names[j]: decades for j, decades in found.items()}
        if rare:
            since = {pre.names[j]: run.since for j, run in runs.items()}
            reading.missing = {name: _iso(since[name]) for name in rare}
            reading.rare = {**reading.rare, **rare}


def _rarities(rule: MissingRuns, runs: Mapping[int, Run]) -> dict[int, float]:
    """Return the decades of the runs that are rare, by feature."""
    found = {feature: rule.rarity(feature, run) for feature, run in runs.items()}
    return {feature: decades for feature, decades in found.items() if decades}


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _lacks(reading: PreparedReading) -> set[str]:
    return {*reading.imputed, *reading.outside}


def _replaceable(pre: Preprocessing, reading: PreparedReading) -> bool:
    """Return whether what no sensor measured may be imputed, as far as its features go."""
    counted = () if pre.counters is None else pre.counters.names
    usable = all(name in pre.names and name not in counted for name in reading.outside)
    return usable and len(_lacks(reading)) <= pre.max_imputed
