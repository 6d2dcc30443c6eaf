"""Explain an anomaly: features to blame, their deviations from expected values, detector votes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from models.arrays import Floats
from models.detectors.base import Array
from models.scoring.conditional_mean import expected, trustworthy
from models.scoring.preprocessing import SCALED_CLIP, Preprocessing

#: Maximum number of features listed; the remaining share is given as ``others``.
MAX_LISTED: Final = 30


class Explainer:
    """Collect the anomalies of one run, call each detector once, and fill in the answers."""

    def __init__(self, pre: Preprocessing) -> None:
        self._pre = pre
        self._targets: list[tuple[dict[str, Any], Floats, Floats, Floats, int, float]] = []
        self._asked: dict[str, list[tuple[int, float, Floats]]] = {}

    def add(
        self,
        metadata: dict[str, Any],
        rows: tuple[Floats, Floats],
        level: Floats,
        inputs: dict[str, tuple[float, Floats]],
        condition: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """Add one anomaly to be explained.

        Parameters
        ----------
        metadata : the result's metadata, whose ``explanation`` will be completed.
        rows : (d,) values in own units, restated (usual operating condition, no season) and as
            received; the latter are NaN where they were imputed.
        level : (d,) the stream's normal level, restated likewise.
        inputs : each detector's decades, and its scaled row (d,) or window (w, d).
        condition : index of the reading's operating condition.
        seconds : time of the reading, since 1970.
        """
        at = len(self._targets)
        self._targets.append((metadata, *rows, level, condition, seconds))
        for name, (weight, x) in inputs.items():
            self._asked.setdefault(name, []).append((at, weight, x))

    def wanted(self) -> list[tuple[str, Array]]:
        """Return the ``explain`` calls to make: detector and input, (n, d) or (n, w, d)."""
        return [(name, np.stack([x for _, _, x in asked])) for name, asked in self._asked.items()]

    def fill(self, answers: Sequence[Array]) -> None:
        """Put the explanations (n, d) into the results, in the order of :meth:`wanted`."""
        if not self._targets:
            return
        shares = np.zeros((len(self._targets), len(self._pre.names)))
        for asked, answer in zip(self._asked.values(), answers, strict=True):
            weights = np.maximum([weight for _, weight, _ in asked], 1e-6)
            # a detector is asked at most once about each target
            shares[[at for at, _, _ in asked]] += weights[:, None] * np.asarray(answer, np.float64)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        self._describe(shares)

    def _describe(self, shares: Floats) -> None:
        """Fill in features by share; expected values follow from the features not to blame."""
        pre = self._pre
        targets, *arrays = zip(*self._targets, strict=True)
        rows, received, levels = (np.stack(part) for part in arrays[:3])
        with np.errstate(over="ignore"):
            z = np.clip((rows - levels) / pre.scale, -SCALED_CLIP, SCALED_CLIP)
        restated = levels + pre.scale * expected(z, pre.mix, trustworthy(shares))
        normal, imputed = (self._original(values, *arrays[3:]) for values in (restated, rows))
        received = np.where(np.isnan(received), imputed, received)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :MAX_LISTED]

        def sorted_by_share(values: Floats) -> list[list[float]]:
            found: list[list[float]] = np.take_along_axis(values, order, axis=1).tolist()
            return found

        listed = sorted_by_share(shares.round(6))
        rest = 1.0 - np.sum(listed, axis=1)
        columns = (listed, sorted_by_share(received), sorted_by_share(_short(normal)),
                   sorted_by_share(_short(received - normal)))  # fmt: skip
        counted = pre.counters.names if pre.counters else ()
        for at, metadata in enumerate(targets):
            explanation = metadata["explanation"]
            explanation["features"] = [
                {
                    "feature": pre.names[j],
                    "share": s,
                    "value": v,
                    "expected": e,
                    "deviation": d,
                    **({"per": "hour"} if pre.names[j] in counted else {}),
                }
                for j, s, v, e, d in zip(
                    order[at].tolist(), *(column[at] for column in columns), strict=True
                )
            ]
            if shares.shape[1] > MAX_LISTED:
                explanation["others"] = round(max(float(rest[at]), 0.0), 6)

    def _original(
        self, values: Floats, conditions: Sequence[int], seconds: Sequence[float]
    ) -> Floats:
        """Return restated readings (n, d) as in their operating condition, at their time."""
        pre = self._pre
        if pre.seasonality is not None:
            values = values + pre.seasonality.offsets(np.array(seconds))
        if pre.conditions is not None:
            values = pre.conditions.original(values, np.array(conditions, np.intp))
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
