"""Preprocess readings: feature order, robust scales, drift allowance, baselines, missing values.

An option chooses between two opposite treatments of drift:

``drift="normal"``: slow drift of sensors is no fault. Each feature is divided by
``sqrt(spread^2 + (drift * horizon)^2)``, so drift at training's rate over ``horizon`` readings
stays within the scale. The horizon, possibly 0, is chosen on the data
(:mod:`models.fitting.trials.tolerance`).

``drift="fault"``: drift IS the fault (wear). There is no allowance for it. Instead, a stream may
have its own baseline, the mean of its first readings, which is subtracted from later ones.

Features driven by a common load are correlated in normal operation, and a fault breaks the
correlation. The scaled features are therefore decorrelated by the symmetric (ZCA-cor) transform
``R^(-1/2)``. It stays closest to the original features, so shares can still be attributed to them
(Kessy, Lewin, Strimmer: Optimal whitening, Am. Stat. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, ClassVar, Final

import numpy as np

from errors import MissingFeatures
from models.arrays import Bools, Floats
from models.detectors.base import Array
from models.scoring.features.conditional_mean import lacking_alike
from models.scoring.features.conditions import Conditions
from models.scoring.features.counters import Counters
from models.scoring.features.garbage import Garbage
from models.scoring.features.level_offsets import mixed, unmixed
from models.scoring.features.missing_runs import MissingRuns
from models.scoring.features.neighbours import Neighbours, estimated
from models.scoring.features.repeats import Repeats
from models.scoring.features.seasonality import Seasonality
from models.scoring.features.standing import Standing
from models.scoring.features.stays import Stays
from models.scoring.features.zero_rows import ZeroRows
from models.scoring.stored import Stored

#: Number of first readings that a stream's baseline is the mean of.
BASELINE_READINGS: Final = 20
#: Scaled values are clipped here, so that no square overflows.
SCALED_CLIP: Final = 1e6
#: Values beyond this many of the group's spreads from its centre are error codes, not levels.
IMPOSSIBLE: Final = 1000.0


def _nothing(features: Mapping[str, float]) -> tuple[float, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Preprocessing(Stored):
    """Turn readings into rows for the detectors.

    Parameters
    ----------
    names : features used, in the detectors' order.
    center, scale, spread : (d,) median, divisor and robust standard deviation, own units.
    mix : (d, d) decorrelates the scaled features; None: they stay correlated.
    drift_mode : "normal" or "fault".
    baseline : readings that a stream's own baseline is the mean of; 0: no baseline.
    interval : median seconds between readings; None if trained without times.
    ignored : features known from training but not among ``names``, since they hardly ever moved.
    missing : "refuse" or "impute".
    max_imputed : maximum number of features imputed per reading.
    limits : feature -> physically possible (min, max); either may be None.
    standing : rates at which the ``ignored`` features moved; None: their movements do not count.
    garbage : values of ``names`` that no sensor measured; None: all values are measurements.
    nulls : feature -> codes that meant "not measured" in training; treated as missing.
    beyond : feature -> (low, high); values beyond mean "not measured" and are treated as missing.
    conditions : operating conditions of ``names``; None: there is only one. The other attributes
        describe readings restated for the usual condition.
    counters : features that only rise, replaced by their rates; None: there are none. The other
        attributes describe the rates.
    seasonality : what is usual at each time of the day or week; None: the same at all times. The
        other attributes describe readings less this.
    step : seconds between readings where training's were regular, so that lost ones are noticed;
        None: they were not.
    neighbours : training readings from which some features are imputed; None: none of them is.
    mean : (d,) mean of training's rows, as :meth:`LevelOffsets.usual` returns them. It is not 0
        where features are skewed: a row of zeros is the median. None: taken as 0, as in sets of
        earlier releases.
    repeats : rarity of repeated values of ``names``; None: they do not count.
    zero_rows : rows of zeros that are no measurements; None: there are none.
    missing_runs : rarity of features that stay missing; None: they do not count.
    stays : rarity of features of ``standing`` that stay away from their usual value for longer than
        in training; None: their stays do not count.
    numbers : by name, of the features that are scored by frequency: those that stood still in
        training, then ``names``.
    """

    KEYS: ClassVar = (
        "names", "center", "scale", "spread", "mix", "drift_mode", "baseline", "interval",
        "ignored", "missing", "max_imputed", "limits", "standing", "garbage", "nulls", "conditions",
        "counters", "seasonality", "step", "neighbours",
        "mean", "repeats", "beyond", "zero_rows", "missing_runs", "stays",
    )  # fmt: skip

    names: tuple[str, ...]
    center: Floats
    scale: Floats
    spread: Floats
    mix: Floats | None
    drift_mode: str
    baseline: int
    interval: float | None
    ignored: tuple[str, ...] = ()
    missing: str = "refuse"
    max_imputed: int = 0
    limits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    standing: Standing | None = None
    garbage: Garbage | None = None
    nulls: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    conditions: Conditions | None = None
    counters: Counters | None = None
    seasonality: Seasonality | None = None
    step: float | None = None
    neighbours: Neighbours | None = None
    mean: Floats | None = None
    repeats: Repeats | None = None
    beyond: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    zero_rows: ZeroRows | None = None
    missing_runs: MissingRuns | None = None
    stays: Stays | None = None
    numbers: Mapping[str, int] = field(init=False, repr=False, compare=False)
    known: frozenset[str] = field(init=False, repr=False)
    possible: tuple[Floats, Floats] = field(init=False, repr=False, compare=False)
    _pick: Callable[[Mapping[str, float]], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", frozenset((*self.names, *self.ignored)))
        stood = self.standing.names if self.standing else ()
        numbers = {name: at for at, name in enumerate((*stood, *self.names))}
        object.__setattr__(self, "numbers", numbers)
        with np.errstate(over="ignore"):
            furthest = IMPOSSIBLE * self.spread
            bounds = self.center - furthest, self.center + furthest
        object.__setattr__(self, "possible", bounds)  # range of a level
        pick = itemgetter(*self.names) if self.names else _nothing  # no lambda: it is pickled
        object.__setattr__(self, "_pick", pick)

    def pick(self, features: Mapping[str, float]) -> Sequence[float]:
        """Return the values in order; the fast path of :meth:`given`.

        Raises
        ------
        KeyError
            A feature is missing.
        """
        found = self._pick(features)
        return (found,) if len(self.names) == 1 else found

    def picks(self, readings: Iterable[Mapping[str, float]]) -> list[Sequence[float]]:
        """Return :meth:`pick` of each of many readings."""
        found = map(self._pick, readings)
        return [(value,) for value in found] if len(self.names) == 1 else list(found)

    def scaled(self, values: Array) -> Floats:
        """Scale readings ``(n, d)`` in own units to rows ``(n, d)``."""
        with np.errstate(over="ignore"):
            out: Floats = np.asarray(values, np.float64) - self.center
            out /= self.scale
        out.clip(-SCALED_CLIP, SCALED_CLIP, out)
        return mixed(out, self.mix)

    def values(self, rows: Floats) -> Floats:
        """Invert :meth:`scaled`: return rows (n, d) or a row (d,) in own units."""
        return self.center + self.scale * unmixed(rows, self.mix)

    def given(self, features: Mapping[str, float]) -> list[float]:
        """Return one reading's values in order, NaN where one is missing."""
        return [features.get(name, math.nan) for name in self.names]

    def absent(self, features: Mapping[str, float], excused: Collection[str] = ()) -> list[str]:
        """Return the names of missing features.

        Parameters
        ----------
        features
            Values by name; some may be missing.
        excused
            Features that may always be missing: rates of counters that were sent.

        Raises
        ------
        MissingFeatures
            Names the missing features, if the policy does not allow imputing them.
        """
        absent = [name for name in self.names if name not in features]
        lacking = [name for name in absent if name not in excused]
        if lacking and (self.missing != "impute" or len(lacking) > self.max_imputed):
            shown = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
            raise MissingFeatures(
                f"features: {len(lacking)} of {len(self.names)} missing: {shown}",
                field=f"features.{lacking[0]}",
            )
        return absent

    def imputed(self, values: Floats, seconds: Floats) -> Floats:
        """Return readings with their missing values imputed.

        A missing value is imputed by its conditional mean given the present features; at full load
        the median would be an anomaly. Without correlation the median is used, and where relations
        are not linear the mean of similar training readings. All depend only on constants of the
        bundle, so a window read back from stored readings is the same.

        Parameters
        ----------
        values : (n, d)
            Readings as received, NaN where a value is missing.
        seconds : (n,)
            Their times, since 1970; NaN if not known.
        """
        lacking = np.flatnonzero(np.isnan(values).any(axis=1))
        received = values[lacking]
        restated, condition = received, None
        if self.conditions is not None:
            condition = self.conditions.guess(received)
            restated = self.conditions.restated(received, condition)
        level = np.broadcast_to(self.center, received.shape)
        if self.seasonality is not None:
            known = np.isfinite(seconds[lacking])
            usual = self.seasonality.offsets(np.where(known, seconds[lacking], 0.0))
            level = level + np.where(known[:, None], usual, 0.0)
        holes = np.isnan(received)
        filled = self.filled(restated, holes, level)
        if self.conditions is not None and condition is not None:
            filled = self.conditions.original(filled, condition)
        out = values.copy()
        out[lacking] = np.where(holes, filled, received)
        return out

    def filled(self, values: Floats, holes: Bools, level: Floats) -> Floats:
        """Return readings (n, d) with missing values imputed from deviations from a level.

        Parameters
        ----------
        values : (n, d) readings as scales describe them, in own units; missing values are not used.
        holes : (n, d) whether a value is missing.
        level : (n, d) what deviations count from.
        """
        precision = None if self.mix is None else self.mix @ self.mix
        out = values.copy()
        for rows in lacking_alike(holes):
            here = ~holes[rows[0]]
            with np.errstate(over="ignore"):
                z = np.where(here, (values[rows] - level[rows]) / self.scale, 0.0)
            estimates = estimated(z, precision, here, self.neighbours)
            out[rows] = np.where(here, values[rows], level[rows] + self.scale * estimates)
        return out

    def by_neighbours(self, missing: Iterable[str]) -> bool:
        """Return whether all of the missing features are estimated from similar readings."""
        found = self.neighbours
        return found is not None and all(found.better[self.names.index(name)] for name in missing)

    def outside(self, features: Mapping[str, float]) -> list[str]:
        """Return the names of features whose value is physically impossible."""
        out = []
        for name, (lowest, highest) in self.limits.items():
            value = features.get(name)
            if value is not None and (
                (lowest is not None and value < lowest) or (highest is not None and value > highest)
            ):
                out.append(name)
        return out

    def with_rarity(self, fast: float, rare: Mapping[str, float]) -> float:
        """Return a reading's magnitude: the detectors', and that of features scored by frequency.

        Parameters
        ----------
        fast
            The detectors' combined magnitude, in decades.
        rare
            Rarity of features, in decades by name.
        """
        rarity = max(rare.values(), default=0.0)
        if self.standing is not None and self.standing.added:
            return fast + rarity
        return max(fast, rarity)

    def scattered(self, features: Mapping[str, float]) -> list[str]:
        """Return the names of features whose value is scattered garbage."""
        bounds = self.beyond.items()
        return [n for n, (low, high) in bounds if n in features and not low <= features[n] <= high]

    @property
    def unmeasured(self) -> bool:
        """Return whether some values mean "not measured"."""
        return bool(self.nulls or self.beyond)

    def measured(self, features: Mapping[str, float]) -> Mapping[str, float]:
        """Return the features, without values that mean "not measured"."""
        return _without(self.without_nulls(features), self.scattered(features))

    def without_nulls(self, features: Mapping[str, float]) -> Mapping[str, float]:
        """Return the features, without codes by which a source says that it has no value."""
        absent = {name for name, codes in self.nulls.items() if features.get(name) in codes}
        return _without(features, absent)


def _without(features: Mapping[str, float], names: Collection[str]) -> Mapping[str, float]:
    return {k: v for k, v in features.items() if k not in names} if names else features
