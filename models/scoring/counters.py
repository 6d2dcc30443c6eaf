"""Read counters (hours of operation, energy used) by their rate.

A counter only rises: tomorrow it is higher than ever in training, which alarms for good. What
it tells is how fast it rises. So its value is replaced by the rise since the reading before, per
hour. That is the newest reading of the stream's window: what is stored and read back later gives
the same rates. There is none where a window begins (a new stream, a pause), for a late reading, for
one of the same time, and where the counter fell (set back, exchanged, run over). The rate is not
known then, and what the other features lead to expect stands in its place, as for a missing value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from models.arrays import Floats, Times
from models.scoring.stored import Stored

#: A leap counts as so many times the largest rate of training: it is in the window afterwards.
LEAP: Final = 10.0
#: The largest is this quantile of the rates while a counter runs: leaps in training are none.
_LARGE: Final = 0.99
_HOUR_S: Final = 3600.0
#: Rates closer together than this share of the usual one differ by rounding.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Counters(Stored):
    """Features that only rise.

    Parameters
    ----------
    names : k of a reading's features.
    usual, largest : (k,) middle and largest rate of each in training, per hour.
    """

    KEYS: ClassVar = ("names", "usual", "largest")

    names: tuple[str, ...]
    usual: tuple[float, ...]
    largest: tuple[float, ...]

    @classmethod
    def of(cls, names: Sequence[str], rates: Sequence[Floats]) -> Counters:
        """Return the counters of these names, whose rates in training, (n,) each, are these."""
        run = [x[x > 0.0] for x in rates]
        return cls(
            tuple(names),
            tuple(float(np.median(x)) if len(x) else 0.0 for x in run),
            tuple(float(np.quantile(x, _LARGE)) if len(x) else 0.0 for x in run),
        )

    def read(
        self, now: Mapping[str, float], before: Mapping[str, float], passed_s: float
    ) -> dict[str, float]:
        """Return a reading's features, of each counter the rate; those not known are not there.

        Parameters
        ----------
        now, before : features of the reading, and of the one before it; empty: there is none.
        passed_s : seconds between them.
        """
        out = {name: value for name, value in now.items() if name not in self.names}
        for name, usual, largest in zip(self.names, self.usual, self.largest, strict=True):
            if name in now and name in before:
                rate = _per_hour(now[name], before[name], passed_s)
                if rate == rate:  # known
                    out[name] = _bounded(rate, usual, largest)
        return out

    def rates(self, values: Floats, times: Times, names: Sequence[str]) -> Floats:
        """Return a stream's readings (n, d) with the counters' rates; NaN where not known.

        Parameters
        ----------
        values : (n, d)
            As they were sent.
        times : (n,)
        names : (d,)
            Of the features.
        """
        out = np.array(values, np.float64)
        for name, usual, largest in zip(self.names, self.usual, self.largest, strict=True):
            column = names.index(name)
            found = rate_per_hour(out[:, column], times).tolist()
            out[:, column] = [_bounded(rate, usual, largest) for rate in found]
        return out

    def counted(self, rates: Floats, times: Times, names: Sequence[str], first: Floats) -> Floats:
        """Return the readings (n, d) that have these rates and follow a reading.

        Parameters
        ----------
        rates : (n, d)
            As :meth:`rates` gives them; of a counter that is to run backwards it stands still.
        times : (n + 1,)
            Of the reading before, and of these.
        names : (d,)
        first : (d,)
            The reading before.
        """
        out = np.array(rates, np.float64)
        hours = _seconds(times)[1:] / _HOUR_S
        for column in map(names.index, self.names):
            risen = np.maximum(np.nan_to_num(out[:, column]), 0.0) * hours
            out[:, column] = first[column] + np.cumsum(risen)
        return out


def rate_per_hour(values: Floats, times: Times) -> Floats:
    """Return how fast one counter (n,) rises up to each reading; NaN where that is not known."""
    x, passed = values.tolist(), _seconds(times).tolist()
    return np.array([np.nan, *map(_per_hour, x[1:], x, passed[1:])][: len(x)])


def _seconds(times: Times) -> Floats:
    """Return the seconds from reading to reading (n,); the first is NaN."""
    passed = np.diff(times).astype("timedelta64[us]").astype(np.float64) / 1e6
    return np.concatenate([[np.nan], passed])


def _per_hour(value: float, last: float, passed_s: float) -> float:
    """Return how fast a counter rose from one reading to the next; NaN where that is not known."""
    known = value >= last and passed_s > 0.0
    return (value - last) * _HOUR_S / passed_s if known else math.nan


def _bounded(rate: float, usual: float, largest: float) -> float:
    """Return a rate without what rounding made of it, as a leap at most."""
    unit, leap = _ROUNDING * usual, LEAP * largest
    if unit and math.isfinite(rate / unit):
        rate = round(rate / unit) * unit
    return leap if rate > leap else rate  # NaN stays: not known
