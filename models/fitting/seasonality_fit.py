"""Find whether a group's features follow the time of the day or of the week.

A profile is the median over the periods of training, each relative to its own median: a fault, or
a level that wanders, hardly changes it. It is smoothed over as many neighbouring points as predict
held-out periods best. A feature follows a season if the profile of the first three fifths of all
periods explains the later ones, and that of the last three fifths the earlier ones: the mean
logarithm of the variance ratio, by period, must be clear of chance. As with operating conditions, a
season is used only if it explains four fifths of the variance within a period for a quarter of the
features, and if no fewer injected steps are detected with it: it must be worth its mistakes on days
unlike those of training.

Training readings are restated by profiles of the *other* periods. Otherwise each reading would
have helped to predict itself, and calibration would promise too little variation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Indices, Times
from models.detectors.covariance import winsorised_std
from models.fitting.distance import fit_distance
from models.fitting.plan import median_interval
from models.fitting.scaling import SHRINKAGE
from models.fitting.tolerance import seen_by
from models.fitting.trials import WITHIN, Fold, Steps
from models.scoring.seasonality import PERIODS, UTC, Season, Seasonality, local_seconds

_MOST: Final = 336  # most points of a profile: 5 minutes of a day at most, half an hour of a week
_FEWEST: Final = 8  # fewest points: slower readings have no profile
_PERIODS: Final = 5  # fewest complete periods
_COMPLETE: Final = 0.8  # least share of the points with readings in a complete period
_KNOWN: Final = 0.6  # share of the periods that a profile to be judged is taken from
_FOLDS: Final = 10  # groups of periods, each of which is restated by the profile of the others
_WIDTHS: Final = (0, 1, 2, 4, 8, 16)  # candidates of the smoothing: neighbours on either side
_GAIN: Final = 0.1  # least mean logarithm of the variance ratio of a feature that follows ...
_CLEAR: Final = float(np.log(5.0))  # ... and of one of which four fifths are explained: at least
_FOLLOW: Final = 0.25  # this share of the features
_ERRORS: Final = 2.0  # standard errors by which it must exceed 0
_STEPS: Final = Steps((1.0, 2.0, 4.0, 8.0), (WITHIN,), count=50, streams=5)
_LARGEST: Final = 400  # most periods of all streams to look at


@dataclass(slots=True)
class SeasonalFit:
    """Result of the search.

    Attributes
    ----------
    seasonality : None if no feature follows a season.
    folds : by period, the profile (k, d) for the readings of each group of periods.
    notes, figures : what was found, for people and for MLflow.
    """

    seasonality: Seasonality | None = None
    folds: list[tuple[float, list[Floats]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def restate(
        self, streams: Sequence[Floats], timestamps: Sequence[Times] | None
    ) -> list[Floats]:
        """Subtract from training readings (n_i, d) what is usual at their times by other periods.

        Parameters
        ----------
        streams : list of (n_i, d), own units.
        timestamps : list of (n_i,); only needed if there is a seasonality.
        """
        if self.seasonality is None or timestamps is None:
            return list(streams)
        out = []
        for values, times in zip(streams, timestamps, strict=True):
            seconds = local_seconds(epoch_seconds(times), self.seasonality.zone)
            for period, profiles in self.folds:
                values = values - _by_fold(period, profiles, seconds)
            out.append(values)
        return out


@dataclass(slots=True)
class _Periods:
    """The complete periods of all streams.

    Attributes
    ----------
    index : (p,) which period each is, counted from 1970; streams may share one.
    values : (p, k, d) means of the readings around each point, less the period's median.
    """

    index: Indices
    values: Floats


def epoch_seconds(times: Times) -> Floats:
    """Return times (n,) as seconds since 1970."""
    out: Floats = times.astype("datetime64[us]").astype(np.int64) / 1e6
    return out


def find_seasonality(
    streams: Sequence[Floats],
    timestamps: Sequence[Times] | None,
    names: Sequence[str],
    asked: str = "auto",
    seed: int = 0,
) -> SeasonalFit:
    """Find the seasons that features follow.

    Parameters
    ----------
    streams : list of (n_i, d), restated for the usual operating condition.
    timestamps : list of (n_i,); None without times, and so without seasons.
    names : (d,)
    asked : "auto": look for seasons by the clock of UTC; "none": no seasons; else the time zone of
        the clock to look by.
    seed : seed of the injected steps.
    """
    found = SeasonalFit()
    interval = None if asked == "none" else median_interval(timestamps)
    if timestamps is None or interval is None:
        return found
    zone = UTC if asked == "auto" else asked
    seconds = [local_seconds(epoch_seconds(times), zone) for times in timestamps]
    left = list(streams)
    seasons: list[Season] = []
    for period, name in PERIODS.items():
        points = min(int(period / interval), _MOST)
        if points < _FEWEST:
            continue
        made = _season(_periods(left, seconds, period, points), period)
        if made is None:
            continue
        season, profiles, gain = made
        without, seen = _steps_seen(left, seconds, season, seed)
        fewer = without.astype(np.float64) - seen
        if fewer.mean() > _ERRORS * fewer.std() / np.sqrt(len(fewer)):
            continue
        left = [
            values - _by_fold(period, profiles, at)
            for values, at in zip(left, seconds, strict=True)
        ]
        seasons.append(season)
        found.folds.append((period, profiles))
        _say(found, (season, name, zone), names, gain, (float(without.mean()), float(seen.mean())))
    if seasons:
        found.seasonality = Seasonality(tuple(seasons), zone)
    return found


def _by_fold(period: float, profiles: Sequence[Floats], seconds: Floats) -> Floats:
    """Return what is usual (n, d) at times (n,) by the profile for each one's own period."""
    fold = (seconds // period).astype(np.int64) % len(profiles)
    out = np.empty((len(seconds), profiles[0].shape[1]))
    for number, profile in enumerate(profiles):
        mine = fold == number
        out[mine] = Season(period, profile).offsets(seconds[mine])
    return out


def _periods(
    streams: Sequence[Floats], seconds: Sequence[Floats], period: float, points: int
) -> _Periods:
    """Average each stream's readings by period and point, for some of the complete periods."""
    whole = [_complete(at, period, points) for at in seconds]
    every = np.concatenate(whole)
    if not len(every):
        return _Periods(every, np.zeros((0, points, streams[0].shape[1])))
    keep = np.split(_some(every), np.cumsum([len(one) for one in whole])[:-1])
    index: list[Indices] = []
    cubes: list[Floats] = []
    for values, at, which in zip(
        streams, seconds, (one[kept] for one, kept in zip(whole, keep, strict=True)), strict=True
    ):
        mine = np.isin((at // period).astype(np.int64), which)
        if not mine.any():
            continue
        cell, count = _cells(at[mine], period, points)
        sums = [
            np.bincount(cell, column, count.size).reshape(count.shape) for column in values[mine].T
        ]
        here = count[:, :, None]
        cube = np.where(here > 0, np.stack(sums, axis=2) / np.maximum(here, 1), np.nan)
        index.append(which)
        cubes.append(cube - _median(cube.transpose(1, 0, 2))[:, None])
    return _Periods(np.concatenate(index), np.concatenate(cubes))


def _cells(at: Floats, period: float, points: int) -> tuple[Indices, Indices]:
    """Return each reading's cell (n,), and the number of readings by period and point (p, k)."""
    which, first = np.unique((at // period).astype(np.int64), return_inverse=True)
    point = np.minimum((at % period) * (points / period), points - 1).astype(np.int64)
    cell: Indices = first * points + point
    return cell, np.bincount(cell, minlength=len(which) * points).reshape(-1, points)


def _complete(at: Floats, period: float, points: int) -> Indices:
    """Return the periods (p,) of which most points have readings at the times (n,)."""
    _, count = _cells(at, period, points)
    out: Indices = np.unique((at // period).astype(np.int64))[(count > 0).mean(axis=1) >= _COMPLETE]
    return out


def _some(every: Indices) -> Bools:
    """Choose at most about _LARGEST of the streams' periods (p,), of as many dates as possible."""
    dates, of = np.unique(every, return_inverse=True)
    apart = -(-len(dates) // _LARGEST)
    each = max(_LARGEST // len(dates), 1)  # streams per date
    keep = np.zeros(len(every), bool)
    for date in range(len(dates) - 1, -1, -apart):
        there = np.flatnonzero(of == date)
        keep[np.roll(there, date)[:each]] = True  # not of the same streams on each date
    return keep


def _median(values: Floats) -> Floats:
    """Return the median over the first axis, of the values that are not NaN."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = len(values) - np.isnan(values).sum(axis=0)
    lower, upper = (np.clip(at, 0, len(values) - 1) for at in ((count - 1) // 2, count // 2))
    both = [np.take_along_axis(ordered, at[None], axis=0)[0] for at in (lower, upper)]
    out: Floats = (both[0] + both[1]) / 2.0
    return out


def _smooth(profile: Floats, width: int) -> Floats:
    """Return a profile (k, d) averaged over ``width`` neighbours on either side; gaps are 0."""
    there = (~np.isnan(profile)).astype(np.float64)
    total, count = np.nan_to_num(profile), there
    for by in range(1, width + 1):
        for way in (by, -by):
            total = total + np.roll(np.nan_to_num(profile), way, axis=0)
            count = count + np.roll(there, way, axis=0)
    return total / np.maximum(count, 1.0)


def _season(periods: _Periods, period: float) -> tuple[Season, list[Floats], Floats] | None:
    """Return the season that some features follow, its profiles by fold, and the gains (d,).

    The profile of a feature that does not follow it is 0.
    """
    known = np.unique(periods.index)
    if len(known) < _PERIODS:
        return None
    points = periods.values.shape[1]
    widths = [w for w in _WIDTHS if w <= points // _FEWEST]
    count = min(_FOLDS, len(known))
    fold = periods.index % count
    medians = [
        _median(periods.values[fold != number]) if (fold != number).any() else None
        for number in range(count)
    ]
    errors = np.zeros((len(widths), periods.values.shape[2]))
    for number, median in enumerate(medians):
        held = periods.values[fold == number]
        if median is not None and len(held):
            for at, width in enumerate(widths):
                errors[at] += np.nansum((held - _smooth(median, width)) ** 2, axis=(0, 1))
    best = errors.argmin(axis=0)

    def profile(median: Floats) -> Floats:
        made = np.stack([_smooth(median, width) for width in widths])
        out: Floats = np.take_along_axis(made, best[None, None], axis=0)[0]
        return out

    gain, follows = _follows(periods, known, profile)
    if not follows.any() or (follows & (gain >= _CLEAR)).mean() < _FOLLOW:
        return None
    whole = _median(periods.values)
    profiles = [
        np.where(follows, profile(whole if median is None else median), 0.0) for median in medians
    ]
    return Season(period, np.where(follows, profile(whole), 0.0)), profiles, gain


def _follows(
    periods: _Periods, known: Indices, profile: Callable[[Floats], Floats]
) -> tuple[Floats, Bools]:
    """Return the mean logarithm (d,) of the variance ratio in judged periods, and who follows."""
    cut = round(_KNOWN * len(known))
    gains = []
    for early in (known[:cut], known[len(known) - cut :]):
        mine = np.isin(periods.index, early)
        made = profile(_median(periods.values[mine]))
        for index in np.setdiff1d(known, early).tolist():
            held = periods.values[periods.index == index]
            rest = held - made
            rest = rest - _median(rest.transpose(1, 0, 2))[:, None]
            before, after = (np.nanmean(v**2, axis=(0, 1)) for v in (held, rest))
            moved = (before > 0.0) & (after > 0.0)
            gain = np.zeros(len(before))
            gain[moved] = np.log(before[moved] / after[moved])
            gains.append(gain)
    each = np.array(gains)
    mean = each.mean(axis=0)
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    return mean, (mean > _GAIN) & (mean > _ERRORS * error)


def _steps_seen(
    streams: Sequence[Floats], seconds: Sequence[Floats], season: Season, seed: int
) -> tuple[Bools, Bools]:
    """Return which injected steps are detected on later readings, without and with a season."""
    varied = winsorised_std(np.concatenate(streams)) > 0.0
    plain: Fold = ([], [])
    rest: Fold = ([], [])
    for values, at in zip(streams, seconds, strict=True):
        if len(values) < len(season.profile):
            continue
        cut = round(_KNOWN * len(values))
        less = values - season.offsets(at)
        for kept, part in ((plain, values), (rest, less)):
            kept[0].append(part[:cut, varied])
            kept[1].append(part[cut:, varied])
    unit = winsorised_std(np.concatenate(rest[0]))
    out = []
    for known, other in (plain, rest):
        score, _ = fit_distance(known, 0, SHRINKAGE)
        faulty = _STEPS.inject(other, unit, np.random.default_rng(seed))
        out.append(np.array(seen_by(score, (known, other), faulty)[0]))
    return out[0], out[1]


def _say(
    found: SeasonalFit, what: tuple[Season, str, str], names: Sequence[str], gain: Floats,
    seen: tuple[float, float],
) -> None:  # fmt: skip
    season, name, zone = what
    at = np.flatnonzero(season.profile.any(axis=0)).tolist()
    left = float(np.exp(-gain[at].mean()))
    found.figures |= {
        f"{name}_features": float(len(at)), f"{name}_variance_left": left,
        f"{name}_steps_seen": seen[1], f"{name}_steps_seen_without": seen[0],
    }  # fmt: skip
    which = ", ".join(names[j] for j in at[:10]) + (", ..." if len(at) > 10 else "")
    found.notes.append(
        f"{len(at)} of {len(names)} features follow the time of the {name}, by the clock of {zone}"
        f" ({which}): each reading is compared with what is usual at that time (--seasonality ZONE:"
        " by another clock; none: with what is usual at all times); in trials on other"
        f" {name}s {left:.0%} of the variance was left, and {seen[1]:.0%} of injected steps were"
        f" detected, {seen[0]:.0%} without it"
    )
