"""Tell a sensor's faults in training where there are few events, as where levels move slowly.

A few events do not show how far normal ones go, nor whether one is a mode of operation that recurs.
What a single sensor does at once is a fault all the same, if it does so rarely: a level that
wanders goes slowly, and a mode moves several features. What is on or off has no other way to go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.trials.distance import Scoring

#: Least share of its height that an event rises or falls by at once, and of its squared distance
#: that one feature explains.
_MOST: Final = 0.75
_AT_ONCE: Final = 9  # readings; as many as are averaged
#: Most events of one feature, in all streams, that are faults: more are bursts, or how it works.
_RARELY: Final = 3
#: Most different values of a switch, or of a number of steps.
_STEPS: Final = 20
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True)
class OneSensor:
    """Tells which events are faults of a single sensor.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in own units.
    rows : what decorrelates them.
    """

    streams: Sequence[Floats]
    rows: Scoring

    def faults(
        self, events: Sequence[tuple[int, int, int]], heights: Sequence[Floats], start: float
    ) -> list[bool]:
        """Return of each event whether a sensor's fault explains it.

        Parameters
        ----------
        events : list of (stream, first reading, the one after the last)
        heights : list of (n_i,)
            Heights of the streams' readings.
        start
            Height above which a stretch is an event.
        """
        blamed = [self._blamed(*event, heights[event[0]], start) for event in events]
        times = Counter(blamed)
        return [sensor is not None and times[sensor] <= _RARELY for sensor in blamed]

    def _blamed(
        self, stream: int, begin: int, end: int, heights: Floats, start: float
    ) -> int | None:
        """Return the feature that explains most of an event that begins or ends at once, if any."""
        above = np.maximum(heights[max(begin - _AT_ONCE, 0) : end + _AT_ONCE] - start, 0.0)
        steps = np.abs(above[_AT_ONCE:] - above[:-_AT_ONCE])
        if steps.max(initial=0.0) < _MOST * above.max():
            return None
        shares = self._shares(stream, begin + int(heights[begin:end].argmax()))
        feature = int(shares.argmax())
        return feature if shares[feature] >= _MOST and not self._is_switch(feature) else None

    def _is_switch(self, feature: int) -> bool:
        """Return whether a feature has a few values only."""
        return len(np.unique(np.concatenate([s[:, feature] for s in self.streams]))) <= _STEPS

    def _shares(self, stream: int, top: int) -> Floats:
        """Return the shares (d,) of the squared distance at ``top`` that each feature explains."""
        values = np.concatenate(self.streams)
        centre, d = np.median(values, axis=0), values.shape[1]
        if d == 1:
            return np.zeros(1)  # nothing tells its faults from modes
        half = _AT_ONCE // 2
        level = np.median(self.streams[stream][max(top - half, 0) : top + half + 1], axis=0)
        moved = centre + np.diag(values.std(axis=0))
        usual, there, *alone = self.rows(np.concatenate([centre[None], level[None], moved]))
        way, ways = there - usual, np.array(alone) - usual
        norms = np.linalg.norm(ways, axis=1) * np.linalg.norm(way)
        cosines: Floats = ways @ way / np.maximum(norms, _TINY)
        return cosines**2
