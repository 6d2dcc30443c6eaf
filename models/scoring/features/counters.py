"""Replace counters (operating hours, energy used) by their rates.

A counter only rises. It soon exceeds every training value and would alarm for ever; its information
is how fast it rises. Its value is therefore replaced by its rise per hour since the newest reading
of the stream's window. Windows are stored, so a window read back later gives the same rates. The
rate is unknown where a window begins (a new stream, a pause), for a late reading, for a reading
with the same time as the one before, and where the counter fell (reset, replaced, overflowed). An
unknown rate is imputed from the other features, as a missing value is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import ClassVar, Final

import numpy as np

from models.arrays import Floats, Times
from models.scoring.stored import Stored

#: Rates are capped at this multiple of training's largest: a leap stays in the window afterwards.
LEAP: Final = 10.0
#: Quantile of the positive training rates that counts as the largest: it leaves out leaps.
_LARGE: Final = 0.99
_HOUR_S: Final = 3600.0
#: Differences below this share of the usual rate are rounding.
_ROUNDING: Final = 1e-6
#: Least share of training readings with the usual rate for it to be constant.
_STEADY: Final = 0.95
#: Units in the last place that a difference of two values may be off: each is rounded twice.
_ULPS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Counters(Stored):
    """Features that only rise.

    Parameters
    ----------
    names : k of a reading's features.
    usual, largest : (k,) median and largest training rate of each, per hour.
    slack : (k,) rise by which a reading may miss the usual rate and still has it; 0, or empty: any
        other rate is another. By :func:`slack_of`.
    """

    KEYS: ClassVar = ("names", "usual", "largest", "slack")

    names: tuple[str, ...]
    usual: tuple[float, ...]
    largest: tuple[float, ...]
    slack: tuple[float, ...] = ()

    @classmethod
    def of(
        cls, names: Sequence[str], rates: Sequence[Floats], slack: Sequence[float] = ()
    ) -> Counters:
        """Create the counters.

        Parameters
        ----------
        names : k features.
        rates : k training rates, (n,) each.
        slack : (k,), see the class.
        """
        run = [x[x > 0.0] for x in rates]
        return cls(
            tuple(names),
            tuple(float(np.median(x)) if len(x) else 0.0 for x in run),
            tuple(float(np.quantile(x, _LARGE)) if len(x) else 0.0 for x in run),
            tuple(slack),
        )

    @property
    def _each(self) -> Iterator[tuple[str, float, float, float]]:
        """Name, usual and largest rate, and slack of each counter."""
        slack = self.slack or (0.0,) * len(self.names)
        return zip(self.names, self.usual, self.largest, slack, strict=True)

    def read(
        self, now: Mapping[str, float], before: Mapping[str, float], passed_s: float
    ) -> dict[str, float]:
        """Return a reading's features with each counter's rate; unknown rates are left out.

        Parameters
        ----------
        now, before : features of the reading and of the previous one; empty if there is none.
        passed_s : seconds between them.
        """
        out = {name: value for name, value in now.items() if name not in self.names}
        for name, usual, largest, slack in self._each:
            if name in now and name in before:
                rate = _per_hour(now[name], before[name], passed_s)
                if rate == rate:  # known
                    rate = _settled(rate, usual, passed_s, slack, now[name])
                    out[name] = _bounded(rate, usual, largest)
        return out

    def rates(self, values: Floats, times: Times, names: Sequence[str]) -> Floats:
        """Return a stream's readings (n, d) with the counters' rates; NaN where unknown.

        Parameters
        ----------
        values : (n, d)
            Values as received.
        times : (n,)
            Times of the readings.
        names : (d,)
            Feature names.
        """
        out = np.array(values, np.float64)
        for name, usual, largest, slack in self._each:
            column = names.index(name)
            rates = rate_per_hour(out[:, column], times)
            found = settled(rates, usual, times, slack, out[:, column]).tolist()
            out[:, column] = [_bounded(rate, usual, largest) for rate in found]
        return out

    def counted(self, rates: Floats, times: Times, names: Sequence[str], first: Floats) -> Floats:
        """Return the readings (n, d) with these rates: the inverse of :meth:`rates`.

        Parameters
        ----------
        rates : (n, d)
            Readings with rates; a negative or unknown rate leaves the counter unchanged.
        times : (n + 1,)
            Times of the previous reading and of these.
        names : (d,)
            Feature names.
        first : (d,)
            The previous reading, with its counter values.
        """
        out = np.array(rates, np.float64)
        hours = _seconds(times)[1:] / _HOUR_S
        for column in map(names.index, self.names):
            risen = np.maximum(np.nan_to_num(out[:, column]), 0.0) * hours
            out[:, column] = first[column] + np.cumsum(risen)
        return out


def rate_per_hour(values: Floats, times: Times) -> Floats:
    """Return one counter's rise per hour before each reading, (n,); NaN where unknown."""
    x, passed = values.tolist(), _seconds(times).tolist()
    return np.array([np.nan, *map(_per_hour, x[1:], x, passed[1:])][: len(x)])


def slack_of(values: Sequence[Floats], times: Sequence[Times], rates: Sequence[Floats]) -> float:
    """Return the rise that says nothing about the rate of a counter whose rate is constant.

    A constant rate has no scatter that would show how exactly it is known. Its counter has: a rise
    is known to one step of the counter, and the time in which it happened to one step of the clock.

    Parameters
    ----------
    values, times, rates : one (n_i,) per stream
        The counter's values, the readings' times, and the rates.

    Returns
    -------
    float
        0 if the rate is not constant, so that its scatter shows.
    """
    pooled = np.concatenate(rates)
    known = pooled[~np.isnan(pooled)]
    usual = float(np.median(known[known > 0.0])) if (known > 0.0).any() else 0.0
    same = np.abs(known - usual) <= _ROUNDING * usual
    if not usual or same.mean() < _STEADY:
        return 0.0
    # a counter that stands still, or is not there, does not tell how it is written
    ran = [bool((found > 0.0).any()) for found in rates]
    step = max(map(_value_step, compress(values, ran)))
    return step + usual * max(map(_clock_step, compress(times, ran))) / _HOUR_S


def settled(rates: Floats, usual: float, times: Times, slack: float, values: Floats) -> Floats:
    """Return the rates (n,) of a stream; one that misses the usual rate by little has it.

    Parameters
    ----------
    rates, times, values : (n,)
        The rates, the readings' times, and the counter's values.
    usual, slack : float
        As of :class:`Counters`.
    """
    passed = _seconds(times).tolist()
    found = zip(rates.tolist(), passed, values.tolist(), strict=True)
    return np.array([_settled(rate, usual, s, slack, value) for rate, s, value in found])


def _settled(rate: float, usual: float, passed_s: float, slack: float, value: float) -> float:
    """Return one rate; standing still and rising twice as fast are never the usual rate."""
    if not slack:
        return rate
    hours = passed_s / _HOUR_S
    near = min(slack + _ULPS * math.ulp(value), usual * hours / 2.0)
    return usual if abs(rate - usual) * hours <= near else rate  # NaN stays: unknown


def _clock_step(times: Times) -> float:
    """Return to what part of a second times (n,) are written."""
    ticks = times.astype("datetime64[us]").astype(np.int64)
    return next((us / 1e6 for us in (10**6, 10**3) if not (ticks % us).any()), 1e-6)


def _value_step(values: Floats) -> float:
    """Return to which power of ten values (n,) are written; 0 if to more than nine digits."""
    x = values[~np.isnan(values)]
    for digits in range(10):
        scaled = x * 10.0**digits
        if (np.abs(scaled - np.round(scaled)) <= _ULPS * np.spacing(np.abs(scaled))).all():
            return float(10.0**-digits)
    return 0.0


def _seconds(times: Times) -> Floats:
    """Return the seconds from reading to reading (n,); the first is NaN."""
    passed = np.diff(times).astype("timedelta64[us]").astype(np.float64) / 1e6
    return np.concatenate([[np.nan], passed])


def _per_hour(value: float, last: float, passed_s: float) -> float:
    """Return a counter's rise per hour between two readings; NaN where unknown."""
    known = value >= last and passed_s > 0.0
    return (value - last) * _HOUR_S / passed_s if known else math.nan


def _bounded(rate: float, usual: float, largest: float) -> float:
    """Return a rate with rounding noise removed, capped at LEAP times the largest."""
    unit, leap = _ROUNDING * usual, LEAP * largest
    if unit and math.isfinite(rate / unit):
        rate = round(rate / unit) * unit
    return leap if rate > leap else rate  # NaN stays: unknown
