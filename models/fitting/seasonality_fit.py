"""Find whether a group's features follow the time of the day or of the week.

A profile is a mean over the periods of training without faults, each relative to the stream's
level then: a fault, a trend or a level that wanders hardly changes it. It is smoothed over as many
neighbouring points as predict held-out periods best, the same for all features. A feature follows
a season if the profile of the first three fifths of all periods explains the later ones, and that
of the last three fifths the earlier ones: the mean logarithm of the variance ratio, by period, must
be clear of chance, and above 0 on each weekday. A season is used if it explains four fifths of the
variance within a period for a quarter of the features (as with operating conditions), or if it
shows a tenth more of the steps that are injected into features that follow it, on later readings
than it was found on. It is not used if it shows clearly, and by a twentieth, fewer of all steps.
Unlabelled faults have no part in this trial. Features that are closely related to one that follows
the season are restated, too: both must be restated alike, or their relation is lost.

Training readings are restated by profiles of the *other* periods. Otherwise each reading would
have helped to predict itself, and calibration would promise too little variation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Indices, Times
from models.detectors.covariance import winsorised_std
from models.fitting.faults.fault_search import find_faults
from models.fitting.imputation import imputed_again
from models.fitting.periods import Grid, Periods, average_periods, smooth, trimmed_mean
from models.fitting.reading_times import epoch_seconds, median_interval
from models.fitting.scaling import LEAST_SHRINKAGE, SHRINKAGE
from models.fitting.trials.distance import fit_distance
from models.fitting.trials.tolerance import seen_by
from models.fitting.trials.ways_of_scoring import BEHIND, WITHIN, Fold, Steps
from models.scoring.features.seasonality import PERIODS, UTC, Season, Seasonality, local_seconds

_MOST: Final = 336  # points of a profile, at most: of 5 minutes (day) or half an hour (week)
_WEEK: Final = 7 * 86_400.0
_FEWEST: Final = 8  # fewest points: slower readings have no profile
_PERIODS: Final = 5  # fewest complete periods
_KNOWN: Final = 0.6  # share of the periods that a profile to be judged is taken from
#: Groups of periods, each of which is restated by the profile of the others: a prime, so that
#: neither the Mondays nor every other day are one.
_FOLDS: Final = 11
_WIDTHS: Final = (0, 1, 2, 4, 8, 16)  # candidates of the smoothing: neighbours on either side
_GAIN: Final = 0.1  # least mean logarithm of the variance ratio of a feature that follows
_ERRORS: Final = 2.0  # standard errors by which it must exceed 0
_CLEAR: Final = float(np.log(5.0))  # that of a feature whose variance is explained to four fifths
_FOLLOW: Final = 0.25  # share of such features that makes a season worth using
_EXACT: Final = 1e-9  # a variance ratio below this is rounding
_CONSTANT: Final = 0.01  # spread of a feature that the clock sets, as a share of the overall one
#: Share of the variance that two features have in common, beside the others', in a close relation.
_SHARED: Final = 0.5
_STEPS: Final = Steps((1.0, 2.0, 4.0, 8.0), (WITHIN,), count=50, streams=5)


@dataclass(slots=True)
class SeasonalFit:
    """Result of the search.

    Attributes
    ----------
    seasonality : None if no feature follows a season.
    follow : (d,) whether a feature follows one; None without seasonality.
    folds : for each season, those for the readings of each group of periods.
    notes, figures : what was found, for people and for MLflow.
    """

    seasonality: Seasonality | None = None
    follow: Bools | None = None
    folds: list[list[Season]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def least(self, streams: Sequence[Floats]) -> Floats | None:
        """Return the spread (d,) for features that a clock sets exactly, such as a set point.

        Parameters
        ----------
        streams : list of (n_i, d), not yet restated.
        """
        if self.follow is None:
            return None
        return np.where(self.follow, _CONSTANT * winsorised_std(np.concatenate(streams)), 0.0)

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
            for folds in self.folds:
                values = values - _by_fold(folds, seconds)
            out.append(values)
        return out


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A season that some features follow.

    Attributes
    ----------
    season : the season by all periods.
    folds : for the readings of each group of periods, the season by the other periods.
    early : the season by the first periods, for a trial on the later ones.
    gain : (d,) mean logarithm of the variance ratio of each feature; 0 if it does not follow.
    """

    season: Season
    folds: list[Season]
    early: Season
    gain: Floats


@dataclass(frozen=True, slots=True)
class _Tried:
    """Result of a trial on later readings than a season was found on, an entry per injected step.

    Attributes
    ----------
    without, seen : (m,) whether it is detected without the season, and with it.
    follow : (m,) whether it is in a feature that follows the season.
    """

    without: Bools
    seen: Bools
    follow: Bools


def find_seasonality(
    streams: Sequence[Floats],
    timestamps: Sequence[Times] | None,
    names: Sequence[str],
    asked: str = "auto",
    seed: int = 0,
    trim: float = 0.0,
    holes: Sequence[Bools] | None = None,
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
    trim : largest share of the readings that are unlabelled faults.
    holes : list of (n_i, d), whether a value is imputed; None: none is.
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
        grid = Grid.of(seconds, period, points)
        made = _candidate(average_periods(left, seconds, grid), grid)
        if made is not None and holes is not None:
            # what was imputed as if there were no season has flattened its profile
            left = _filled_again(left, seconds, made, holes)
            made = _candidate(average_periods(left, seconds, grid), grid)
        if made is None:
            continue
        if holes is not None:
            left = _filled_again(left, seconds, made, holes)
        rest = [values - _by_fold(made.folds, at) for values, at in zip(left, seconds, strict=True)]
        tried = _tried(left, rest, seconds, made, (trim, seed))
        if tried is None or not _worth(made.gain, tried):
            continue
        left = rest
        seasons.append(made.season)
        found.folds.append(made.folds)
        follows = made.gain > 0.0
        found.follow = follows if found.follow is None else found.follow | follows
        _report(found, made, (name, zone), names, tried)
    if seasons:
        found.seasonality = Seasonality(tuple(seasons), zone)
    elif asked != "auto":
        found.notes.append(f"no season: too few features follow the clock of {zone}")
    return found


def _worth(gain: Floats, tried: _Tried) -> bool:
    """Return whether a season is worth using, by the gain (d,) of the features and a trial."""
    more = tried.seen.astype(np.float64) - tried.without
    if more.mean() < -max(_ERRORS * more.std() / np.sqrt(len(more)), BEHIND / 2.0):
        return False
    clear = (gain >= _CLEAR).mean() >= _FOLLOW
    return bool(clear or (tried.follow.any() and more[tried.follow].mean() > BEHIND))


def _by_fold(folds: Sequence[Season], seconds: Floats) -> Floats:
    """Return what is usual (n, d) at times (n,) by the season for each one's own period."""
    fold = (seconds // folds[0].period).astype(np.int64) % len(folds)
    out = np.empty((len(seconds), folds[0].profile.shape[1]))
    for number, season in enumerate(folds):
        mine = fold == number
        out[mine] = season.offsets(seconds[mine])
    return out


def _filled_again(
    streams: Sequence[Floats], seconds: Sequence[Floats], made: _Candidate, holes: Sequence[Bools]
) -> list[Floats]:
    """Return streams (n_i, d) with their holes imputed as deviations from a season."""
    usual = [_by_fold(made.folds, at) for at in seconds]
    rest = imputed_again([v - at for v, at in zip(streams, usual, strict=True)], holes)
    return [values + at for values, at in zip(rest, usual, strict=True)]


def _candidate(periods: Periods, grid: Grid) -> _Candidate | None:
    """Return the season that some features follow; None if no feature follows one."""
    known = np.unique(periods.index)
    if len(known) < _PERIODS:
        return None
    points = periods.values.shape[1]
    widths = [w for w in _WIDTHS if w <= points // _FEWEST]
    fold = periods.index % _FOLDS
    middles = [
        periods.middle(fold != number) if (fold != number).any() else None
        for number in range(_FOLDS)
    ]
    errors = np.zeros((len(widths), periods.values.shape[2]))
    for number, middle in enumerate(middles):
        held = periods.values[fold == number]
        if middle is not None and len(held):
            for at, width in enumerate(widths):
                errors[at] += np.nansum((held - smooth(middle, width)) ** 2, axis=(0, 1))
    errors = errors[:, errors.max(axis=0) > 0.0]
    least = np.maximum(errors.min(axis=0), _EXACT * errors.max(axis=0))
    best = widths[int((errors / least).sum(axis=1).argmin())]

    gain, follows = _follows(periods, known, best, round(_WEEK / grid.period))
    if not follows.any():
        return None

    whole = periods.middle(np.ones(len(periods.index), bool))
    restated = follows | _related((periods.values - smooth(whole, best))[periods.usual], follows)

    def season(middle: Floats) -> Season:
        return Season(grid.period, np.where(restated, smooth(middle, best), 0.0), grid.first)

    early = season(periods.middle(periods.index <= known[round(_KNOWN * len(known)) - 1]))
    folds = [season(whole if middle is None else middle) for middle in middles]
    return _Candidate(season(whole), folds, early, np.where(follows, gain, 0.0))


def _related(rest: Floats, follows: Bools) -> Bools:
    """Return which features (d,) are closely related to features that follow, or to such features.

    Parameters
    ----------
    rest : (n, d)
        What a season leaves of the readings.
    follows : (d,)
        Which features follow it.
    """
    spread = winsorised_std(rest)
    varied = np.flatnonzero(spread > 0.0)
    if len(varied) < 2:
        return follows
    z = np.clip((rest[:, varied] - np.median(rest[:, varied], axis=0)) / spread[varied], -5.0, 5.0)
    correlation = np.corrcoef(z, rowvar=False)
    single = np.eye(len(varied))
    precision = np.linalg.inv(correlation + LEAST_SHRINKAGE * (single - correlation))
    unit = np.sqrt(np.diagonal(precision))
    shared = np.zeros((len(follows), len(follows)))
    shared[np.ix_(varied, varied)] = (precision / np.outer(unit, unit)) ** 2
    found = follows
    for _ in follows:  # of relations of relations, too
        found = found | (shared[found] >= _SHARED).any(axis=0)
    return found


def _follows(periods: Periods, known: Indices, width: int, alike: int) -> tuple[Floats, Bools]:
    """Return the mean logarithm (d,) of the variance ratio in judged periods, and who follows.

    Parameters
    ----------
    periods
        All periods.
    known : (n,)
        Their numbers.
    width
        Neighbours on either side that a profile is smoothed over.
    alike
        Periods until one is alike: seven days, so that each weekday must gain; 1 for weeks.
    """
    cut = round(_KNOWN * len(known))
    gains, kinds = [], []
    for early in (known[:cut], known[len(known) - cut :]):
        mine = np.isin(periods.index, early)
        made = smooth(periods.middle(mine), width)
        for index in np.setdiff1d(known, early).tolist():
            held = periods.values[periods.index == index]
            rest = held - made
            rest = rest - trimmed_mean(rest.transpose(1, 0, 2))[:, None]
            before, after = (np.nanmean(v**2, axis=(0, 1)) + periods.noise for v in (held, rest))
            moved = before > 0.0
            gain = np.zeros(len(before))
            gain[moved] = -np.log(np.maximum(after[moved] / before[moved], _EXACT))
            gains.append(gain)
            kinds.append(index % alike)
    each = np.array(gains)
    mean = each.mean(axis=0)
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    worst = np.min([each[np.equal(kinds, kind)].mean(axis=0) for kind in set(kinds)], axis=0)
    return mean, (mean > _GAIN) & (mean > _ERRORS * error) & (worst > 0.0)


def _tried(
    streams: Sequence[Floats],
    restated: Sequence[Floats],
    seconds: Sequence[Floats],
    made: _Candidate,
    options: tuple[float, int],
) -> _Tried | None:
    """Return which injected steps are detected without and with a season, on later readings.

    None if no stream is long enough.

    Parameters
    ----------
    streams, restated, seconds : (n_i, d), (n_i, d) and (n_i,)
        Readings, the same less what is usual by other periods, and their times.
    made
        The season; for later readings it is that of the first periods.
    options
        Largest share of unlabelled faults, which are left out, and seed of the steps.
    """
    share, seed = options
    varied = winsorised_std(np.concatenate(streams)) > 0.0
    faults = find_faults([values[:, varied] for values in restated], share).faults
    plain: Fold = ([], [])
    less: Fold = ([], [])
    for values, rest, at, fault in zip(streams, restated, seconds, faults, strict=True):
        cut = round(_KNOWN * len(values))
        usual = np.flatnonzero(~fault)
        first, later = usual[usual < cut], usual[usual >= cut]
        if len(values) < len(made.early.profile) or not len(first) or not len(later):
            continue
        plain[0].append(values[first][:, varied])
        plain[1].append(values[later][:, varied])
        less[0].append(rest[first][:, varied])
        less[1].append((values[later] - made.early.offsets(at[later]))[:, varied])
    if not less[0]:
        return None
    unit = winsorised_std(np.concatenate(less[0]))
    out = []
    follows = np.flatnonzero(made.gain[varied])
    for known, other in (plain, less):
        score, _ = fit_distance(known, 0, SHRINKAGE)
        faulty = _STEPS.inject(other, unit, np.random.default_rng(seed))
        out.append(np.array(seen_by(score, None, (known, other), faulty)[0]))
    touched = [np.isin(fault.columns, follows).any() for one in faulty for fault, _ in one]
    return _Tried(out[0], out[1], np.array(touched))


def _report(
    found: SeasonalFit, made: _Candidate, what: tuple[str, str], names: Sequence[str],
    tried: _Tried,
) -> None:  # fmt: skip
    name, zone = what
    without, share = (float(one[tried.follow].mean()) for one in (tried.without, tried.seen))
    at = np.flatnonzero(made.gain).tolist()
    left = float(np.exp(-made.gain[at].mean()))
    found.figures |= {
        f"{name}_features": float(len(at)), f"{name}_variance_left": left,
        f"{name}_steps_seen": share, f"{name}_steps_seen_without": without,
    }  # fmt: skip
    which = ", ".join(names[j] for j in at[:10]) + (", ..." if len(at) > 10 else "")
    found.notes.append(
        f"{len(at)} of {len(names)} features follow the time of the {name}, by the clock of {zone}"
        f" ({which}): each reading is compared with what is usual at that time (--seasonality ZONE:"
        " by another clock; none: with what is usual at all times); in trials on other"
        f" {name}s {left:.0%} of the variance was left, and {share:.0%} of the steps injected"
        f" into these features were detected, {without:.0%} without it"
    )
