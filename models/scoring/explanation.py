"""Explain an anomaly: features to blame, their deviations from expected values, detector votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from models.arrays import Floats
from models.detectors.base import Array
from models.scoring.features.conditional_mean import expected, trustworthy
from models.scoring.features.preprocessing import SCALED_CLIP, Preprocessing
from models.scoring.prepared import PreparedReading
from models.scoring.readings.received import seconds_of

#: Maximum number of features listed; the remaining share is given as ``others``.
MAX_LISTED: Final = 30


class Explainer:
    """Collect the anomalies of one run, call each detector once, and fill in the answers.

    A feature that is scored by frequency (it stood still in training, or repeats its value) counts
    with its rarity as each detector counts with its decades.
    """

    def __init__(self, pre: Preprocessing) -> None:
        self._pre = pre
        # the detectors' features, and those that stood still in training where they are rare
        self._columns = {name: at for at, name in enumerate(pre.names)}
        self._targets: list[tuple[dict[str, Any], PreparedReading, Floats, Floats, Floats]] = []
        self._rare: list[tuple[int, int, float]] = []  # target, column of the feature, weight
        self._asked: dict[str, list[tuple[int, float, Floats]]] = {}

    def add(
        self,
        metadata: dict[str, Any],
        reading: PreparedReading,
        rows: tuple[Floats, Floats],
        level: Floats,
        inputs: dict[str, tuple[float, Floats]],
    ) -> None:
        """Add one anomaly to be explained.

        Parameters
        ----------
        metadata : the result's metadata, whose ``explanation`` will be completed.
        reading : the reading.
        rows : (d,) values in own units, restated (usual operating condition, no season) and as
            received; the latter are NaN where they were imputed.
        level : (d,) the stream's normal level, restated likewise.
        inputs : each detector's decades, and its scaled row (d,) or window (w, d).
        """
        at = len(self._targets)
        self._targets.append((metadata, reading, *rows, level))
        for name, rarity in reading.rare.items():
            column = self._columns.setdefault(name, len(self._columns))
            self._rare.append((at, column, rarity * max(len(inputs), 1)))
        for name, (weight, x) in inputs.items():
            self._asked.setdefault(name, []).append((at, weight, x))

    def wanted(self) -> list[tuple[str, Array]]:
        """Return the ``explain`` calls to make: detector and input, (n, d) or (n, w, d)."""
        return [(name, np.stack([x for _, _, x in asked])) for name, asked in self._asked.items()]

    def fill(self, answers: Sequence[Array]) -> None:
        """Put the explanations (n, d) into the results, in the order of :meth:`wanted`."""
        if not self._targets:
            return
        shares = np.zeros((len(self._targets), len(self._columns)))
        width = len(self._pre.names)
        for asked, answer in zip(self._asked.values(), answers, strict=True):
            weights = np.maximum([weight for _, weight, _ in asked], 1e-6)
            # a detector is asked at most once about each target
            at = [target for target, _, _ in asked]
            shares[at, :width] += weights[:, None] * np.asarray(answer, np.float64)
        for target, column, weight in self._rare:
            shares[target, column] += weight
        self._blame_impossible(shares)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        self._describe(shares)

    def _blame_impossible(self, shares: Floats) -> None:
        """Give values outside the physical limits all of the blame; they distort the others'."""
        for own, (_, reading, *_) in zip(shares, self._targets, strict=True):
            impossible = [self._columns[name] for name in reading.outside if name in self._columns]
            if impossible:
                kept = own[impossible]
                own[:] = 0.0
                own[impossible] = kept if kept.any() else 1.0

    def _describe(self, shares: Floats) -> None:
        """Fill in features by share; expected values follow from the features not to blame."""
        pre = self._pre
        targets, readings, *arrays = zip(*self._targets, strict=True)
        rows, received, levels = map(np.stack, arrays)
        with np.errstate(over="ignore"):
            z = np.clip((rows - levels) / pre.scale, -SCALED_CLIP, SCALED_CLIP)
        own = shares[:, : len(pre.names)]
        own = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-300)
        restated = levels + pre.scale * expected(z, pre.mix, trustworthy(own))
        normal, imputed = (self._original(values, readings) for values in (restated, rows))
        received = np.where(np.isnan(received), imputed, received)
        received, normal = self._with_standing(received, normal, readings)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :MAX_LISTED]

        def sorted_by_share(values: Floats) -> list[list[float]]:
            found: list[list[float]] = np.take_along_axis(values, order, axis=1).tolist()
            return found

        listed = sorted_by_share(shares.round(6))
        rest = 1.0 - np.sum(listed, axis=1)
        columns = (listed, sorted_by_share(received), sorted_by_share(_short(normal)),
                   sorted_by_share(_short(received - normal)))  # fmt: skip
        names = list(self._columns)
        for at, (metadata, reading) in enumerate(zip(targets, readings, strict=True)):
            explanation = metadata["explanation"]
            explanation["features"] = [
                {
                    "feature": names[j],
                    "share": s,
                    **self._values(names[j], v, d, reading),
                    "expected": e,
                    **self._remarks(names[j], reading),
                }
                for j, s, v, e, d in zip(
                    order[at].tolist(), *(column[at] for column in columns), strict=True
                )
                if s > 0.0 or j < len(pre.names)
            ]
            if len({*pre.names, *reading.rare}) > MAX_LISTED:
                explanation["others"] = round(max(float(rest[at]), 0.0), 6)

    def _with_standing(
        self, received: Floats, normal: Floats, readings: Sequence[PreparedReading]
    ) -> tuple[Floats, Floats]:
        """Return received and expected values (n, d) followed by those of features that stood."""
        standing, names = self._pre.standing, [*self._columns][len(self._pre.names) :]
        if standing is None or not names:
            return received, normal
        usual = [standing.usual[self._pre.numbers[name]] for name in names]
        own = [list(map(reading.received.features.get, names, usual)) for reading in readings]
        return np.hstack([received, own]), np.hstack([normal, np.tile(usual, (len(own), 1))])

    def _values(
        self, name: str, value: float, deviation: float, reading: PreparedReading
    ) -> dict[str, float | None]:
        """Return a feature's value and deviation; what a failed sensor sent is not imputed."""
        if name not in reading.missing:
            return {"value": value, "deviation": deviation}
        return {"value": reading.received.features.get(name), "deviation": None}

    def _remarks(self, name: str, reading: PreparedReading) -> dict[str, Any]:
        """Return what else to say of a feature: a rate's time, how often its value repeated."""
        out: dict[str, Any] = {}
        if self._pre.counters is not None and name in self._pre.counters.names:
            out["per"] = "hour"
        if name in reading.rare and name in reading.repeated:
            out["repeated"] = reading.repeated[name]
        if name in reading.missing:
            out["no_value_since"] = reading.missing[name]
        return out

    def _original(self, values: Floats, readings: Sequence[PreparedReading]) -> Floats:
        """Return restated readings (n, d) as in their operating condition, at their time."""
        pre = self._pre
        if pre.seasonality is not None:
            seconds = seconds_of(reading.received for reading in readings)
            values = values + pre.seasonality.offsets(np.nan_to_num(seconds))
        if pre.conditions is not None:
            conditions = np.array([reading.condition for reading in readings], np.intp)
            values = pre.conditions.original(values, conditions)
        return values


def _short(values: Floats) -> Floats:
    """Round to six significant digits."""
    with np.errstate(invalid="ignore", over="ignore"):
        # powers up to 10^20 only: beyond 10^22 a power of ten is not an exact float
        exponent = 5.0 - np.floor(np.log10(np.maximum(np.abs(values), 1e-15)))
        power = 10.0 ** np.abs(exponent)
        small = np.round(values * power) / power
        large = np.round(values / power) * power
        short: Floats = np.where(exponent >= 0.0, small, large)
    return np.where(np.isfinite(short), short, values)
