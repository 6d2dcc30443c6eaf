"""Why a reading is an anomaly: which features, how far from what was expected, who voted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.base import Array
from models.expectation import expected, trustworthy
from models.preprocessing import FURTHEST, Preprocessing

Floats = NDArray[np.float64]

#: Features listed at most; the rest of the share is given as ``others``.
MOST: Final = 30


class Explainer:
    """Collects the anomalies of one run, asks the detectors once, and fills the answers in."""

    def __init__(self, pre: Preprocessing) -> None:
        self._pre = pre
        self._targets: list[tuple[dict[str, Any], Floats, Floats]] = []
        self._asked: dict[str, list[tuple[int, float, Floats]]] = {}
        self._order: list[str] = []

    def add(
        self,
        metadata: dict[str, Any],
        row: Floats,
        level: Floats,
        inputs: dict[str, tuple[float, Floats]],
    ) -> None:
        """Note one anomaly.

        Parameters
        ----------
        metadata : the result's, into which ``explanation`` will go.
        row : (d,) values in their own units; ``level`` where the stream has been, likewise.
        inputs : each detector's decades, and its row (d,) or window (w, d), scaled.
        """
        at = len(self._targets)
        self._targets.append((metadata, row, level))
        for name, (weight, x) in inputs.items():
            self._asked.setdefault(name, []).append((at, weight, x))

    def wanted(self) -> list[tuple[str, Array]]:
        """(detector, input) of each ``explain`` call that is needed."""
        self._order = list(self._asked)
        return [(name, np.stack([x for _, _, x in self._asked[name]])) for name in self._order]

    def fill(self, answers: Sequence[Array]) -> None:
        """Put the explanations into the results; ``answers`` in the order of :meth:`wanted`."""
        shares = np.zeros((len(self._targets), len(self._pre.names)))
        for name, answer in zip(self._order, answers, strict=True):
            for (at, weight, _), share in zip(self._asked[name], answer, strict=True):
                shares[at] += max(weight, 1e-6) * np.asarray(share, np.float64)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        for (metadata, row, level), share in zip(self._targets, shares, strict=True):
            metadata["explanation"]["features"] = self._features(row, level, share)
            rest = 1.0 - sum(f["share"] for f in metadata["explanation"]["features"])
            if len(share) > MOST:
                metadata["explanation"]["others"] = round(max(rest, 0.0), 6)

    def _features(self, row: Floats, level: Floats, share: Floats) -> list[dict[str, Any]]:
        """The features by share; what is expected of each is told by those not at fault."""
        with np.errstate(over="ignore"):
            z = np.clip((row - level) / self._pre.scale, -FURTHEST, FURTHEST)
        normal = level + self._pre.scale * expected(z, self._pre.mix, trustworthy(share))
        order = np.argsort(-share, kind="stable")[:MOST]
        return [
            {
                "feature": self._pre.names[j],
                "share": round(float(share[j]), 6),
                "value": float(row[j]),
                "expected": _short(float(normal[j])),
                "deviation": _short(float(row[j] - normal[j])),
            }
            for j in order
        ]


def _short(value: float) -> float:
    return float(f"{value:.6g}")
