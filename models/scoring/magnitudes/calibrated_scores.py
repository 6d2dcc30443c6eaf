"""Calibrated magnitudes of the rows that one run scores, by detector and combined."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.arrays import Bools
from models.detectors.base import Array
from models.scoring.magnitudes.calibration import Calibration


class CalibratedScores:
    """Calibrated magnitudes of all ``n`` rows of a run.

    Attributes
    ----------
    decades, log10_p : (n,) by detector.
    fast : (n,) combined magnitude.
    by : (n,) the calibration that applies to each row; None without a detector.
    """

    def __init__(self, names: tuple[str, ...], n: int) -> None:
        self.decades = {name: [0.0] * n for name in names}
        self.log10_p = {name: [0.0] * n for name in names}
        self.fast = [0.0] * n
        self.by: list[Calibration | None] = [None] * n

    def put(self, mask: Bools, cal: Calibration, raw: Mapping[str, Array]) -> None:
        """Calibrate the raw magnitudes of some rows and store the result.

        Parameters
        ----------
        mask : (n,)
            Which rows to calibrate.
        cal
            Calibration of the detectors that scored these rows.
        raw : {detector: (rows,)}
            Their raw magnitudes.
        """
        decades = cal.decades(raw)
        fast = cal.combined(decades).tolist()
        rows = np.flatnonzero(mask).tolist()
        for k, name in enumerate(cal.detectors):
            own = cal.tails[name].log10_ps(raw[name]).tolist()
            mine, theirs = self.decades[name], self.log10_p[name]
            for i, d, lp in zip(rows, decades[k].tolist(), own, strict=True):
                mine[i] = d
                theirs[i] = lp
        for i, f in zip(rows, fast, strict=True):
            self.fast[i] = f
            self.by[i] = cal
