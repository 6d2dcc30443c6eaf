"""Find counters in training and replace them by rates (:mod:`models.scoring.features.counters`).

A feature is a counter if it only rises, apart from rare resets, in every stream that is long enough
to judge. An unknown rate is a missing value: at a stream's first reading, after a gap, and where
the counter fell. Without times there are no rates, and counters are not used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from errors import TrainingError
from models.arrays import Floats, Times
from models.fitting.garbage.cleaning import Cleaned
from models.fitting.garbage.repeated_codes import learn_with_codes
from models.fitting.reading_times import median_interval
from models.scoring.features.counters import Counters, rate_per_hour, settled, slack_of
from models.scoring.policy import ScoringPolicy

#: Fewest readings of a stream to judge whether a feature is a counter.
LEAST: Final = 60
#: Least share of a counter's steps that do not fall, and fewest that rise.
_RISES: Final = 0.995
_OFTEN: Final = 20
#: Largest share of readings with an unknown rate.
_UNKNOWN: Final = 0.5
#: Largest share of falling steps that garbage may explain.
_PERHAPS: Final = 0.25


@dataclass(slots=True)
class Rated:
    """Training data with the rates of counters.

    Parameters
    ----------
    streams : list of (n_i, d), usable features only; NaN is an unknown rate.
    names : the d usable features.
    unusable : counters without usable rates.
    counters : None if there are none.
    nulls : counter -> codes that mean "not measured".
    notes : what was found, for people.
    """

    streams: list[Floats]
    names: list[str]
    unusable: list[str] = field(default_factory=list)
    counters: Counters | None = None
    nulls: dict[str, tuple[float, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def counts_up(x: Floats) -> bool:
    """Return whether readings (n,) are a counter's: they only rise, apart from rare resets.

    They must rise at least 20 times and ten times as often as they fall: that is not chance.
    """
    known = x[~np.isnan(x)]
    if len(known) < LEAST:
        return False
    steps = np.diff(known)
    up, down = int((steps > 0).sum()), int((steps < 0).sum())
    return up >= _OFTEN and up >= 10 * down and down <= (1.0 - _RISES) * len(steps)


def counters_among(streams: Sequence[Floats], names: Sequence[str]) -> list[str]:
    """Return the features that are counters or constant in all streams (n, d) long enough."""
    out = []
    for column, name in enumerate(names):
        known = [x[~np.isnan(x)] for x in (stream[:, column] for stream in streams)]
        moving = [x for x in known if len(x) >= LEAST and np.ptp(x) > 0.0]
        if moving and all(map(counts_up, moving)):
            out.append(name)
    return out


def _went_on(
    streams: Sequence[Floats], times: Sequence[Times], counters: Sequence[int]
) -> list[Floats]:
    """Fill the missing values of these columns by linear interpolation in time."""
    out = [stream.copy() for stream in streams] if counters else list(streams)
    for column in counters:
        for stream, at in zip(out, times, strict=True):
            hole = np.isnan(stream[:, column])
            if not hole.all():
                x = at.astype("datetime64[us]").astype(np.float64)
                stream[hole, column] = np.interp(x[hole], x[~hole], stream[~hole, column])
    return out


def with_rates(
    streams: list[Floats],
    timestamps: Sequence[Times] | None,
    names: Sequence[str],
    asked: str = "auto",
    kept: Collection[str] = (),
) -> Rated:
    """Find the counters and replace them by their rates.

    Parameters
    ----------
    streams : list of (n_i, d)
    timestamps : list of (n_i,), or None
    names : d features
    asked : "none": use every feature's value.
    kept : features whose values are used even if they only rise: those that are named as indicators
        of operating conditions, as the number of a batch may be.

    Raises
    ------
    TrainingError
        No feature is left: all are counters without usable rates.
    """
    made = Rated(streams, list(names))
    found = [] if asked == "none" else _counters(made, kept)
    interval = None if timestamps is None else median_interval(timestamps)
    used: dict[str, Floats] = {}
    slack: dict[str, float] = {}
    unfit: dict[str, str] = {}
    if timestamps is not None:
        at = [made.names.index(name) for name in found]
        made.streams = _went_on(made.streams, timestamps, at)
    for name in found:
        column = made.names.index(name)
        if timestamps is None or interval is None:
            unfit[name] = "has no rate without times"
            continue
        if all(
            _counts_rows(stream[:, column], at, interval)
            for stream, at in zip(made.streams, timestamps, strict=True)
        ):
            unfit[name] = "counts the rows"
            continue
        counted = [stream[:, column].copy() for stream in made.streams]
        rates, slack[name] = _rates(counted, timestamps, interval)
        for stream, found_rates in zip(made.streams, rates, strict=True):
            stream[:, column] = found_rates
        used[name] = np.concatenate(rates)
        if np.isnan(used[name]).mean() > _UNKNOWN:
            unfit[name] = "has no known rate at most readings"
            del used[name]
    if used:
        made.counters = Counters.of(list(used), list(used.values()), [slack[n] for n in used])
        made.notes.append(
            f"{', '.join(used)}: only rises, as a counter does: its rate per hour is used instead"
            " of its value (--counters none: the value)"
        )
    return _without(made, unfit)


def _counts_rows(values: Floats, times: Times, interval: float) -> bool:
    """Return whether values (n,) number the readings, of which some may have been left out.

    They rise by 1 from each reading to the next; by more only where so many intervals have passed,
    as where readings labelled as faults are not among them. Runs on end may begin anew each.
    """
    steps = np.diff(values)
    passed = np.maximum(np.rint(np.diff(times) / _span(interval)), 1.0)
    whole = (steps >= 1.0) & (steps % 1.0 == 0.0) & (steps <= passed)
    anew = (steps < 0.0) & (values[1:] == values.min())
    return bool((whole | anew).all()) and 2 * int((steps == 1.0).sum()) >= len(steps)


def _rates(
    counted: Sequence[Floats], timestamps: Sequence[Times], interval: float
) -> tuple[list[Floats], float]:
    """Return a counter's rates in each stream, NaN after a pause, and its slack.

    Parameters
    ----------
    counted, timestamps : list of (n_i,)
        The counter's values, and the readings' times.
    interval : float
        Usual seconds between readings.
    """
    out = []
    for values, times in zip(counted, timestamps, strict=True):
        pause = np.diff(times, prepend=times[:1]) > ScoringPolicy.gap_factor * _span(interval)
        out.append(np.where(pause, np.nan, rate_per_hour(values, times)))
    slack = slack_of(counted, timestamps, out)
    (usual,) = Counters.of([""], [np.concatenate(out)]).usual
    each = zip(out, timestamps, counted, strict=True)
    return [settled(rates, usual, times, slack, values) for rates, times, values in each], slack


def _span(seconds: float) -> np.timedelta64:
    return np.timedelta64(int(1e6 * seconds), "us")


def _counters(made: Rated, kept: Collection[str]) -> list[str]:
    """Find the counters except those kept; garbage in them, which looks like falls, becomes NaN."""
    pooled = np.concatenate(made.streams)
    falls = pooled[1:] < pooled[:-1]  # their difference may be too large for a number
    few = [j for j in range(len(made.names)) if falls[:, j].mean() <= _PERHAPS]
    if not few:
        return []
    streams = [stream[:, few] for stream in made.streams]
    garbage, _ = learn_with_codes(streams)
    parts = [garbage.measured(stream) for stream in streams]
    found = [n for n in counters_among(parts, [made.names[j] for j in few]) if n not in kept]
    made.streams = [stream.copy() for stream in made.streams] if found else made.streams
    for at, j in enumerate(few):
        if made.names[j] not in found:
            continue
        for stream, part in zip(made.streams, parts, strict=True):
            stream[:, j] = part[:, at]
        if garbage.codes[at]:
            made.nulls[made.names[j]] = garbage.codes[at]
    return found


def _without(made: Rated, unfit: Mapping[str, str]) -> Rated:
    """Leave out counters without usable rates; ``unfit`` gives the reason by name."""
    use = [j for j, name in enumerate(made.names) if name not in unfit]
    if not use:
        name, why = next(iter(unfit.items()))
        raise TrainingError(f"data: every feature only rises, as a counter does: {name} {why}")
    notes = [
        f"{name}: only rises, as a counter does, and {why}: not used" for name, why in unfit.items()
    ]
    return replace(
        made, streams=[stream[:, use] for stream in made.streams] if unfit else made.streams,
        names=[made.names[j] for j in use], unusable=list(unfit), notes=[*made.notes, *notes],
    )  # fmt: skip


def among(cleaned: Cleaned, rated: Rated) -> Cleaned:
    """Merge both results; drop garbage bounds of counters, since counters outgrow any bound."""
    counters = rated.counters.names if rated.counters else ()
    at = [cleaned.names.index(name) for name in counters if name in cleaned.names]
    low, high = cleaned.garbage.low.copy(), cleaned.garbage.high.copy()
    low[at], high[at] = -np.inf, np.inf
    codes = [() if j in at else one for j, one in enumerate(cleaned.garbage.codes)]
    others = {name: one for name, one in cleaned.nulls.items() if name not in counters}
    return replace(
        cleaned,
        garbage=replace(cleaned.garbage, low=low, high=high, codes=tuple(codes)),
        nulls={**others, **{name: rated.nulls[name] for name in counters if name in rated.nulls}},
        beyond={name: one for name, one in cleaned.beyond.items() if name not in counters},
        unusable=[*rated.unusable, *cleaned.unusable],
        notes=[*rated.notes, *cleaned.notes],
    )
