"""Tell a sensor's faults in training where there are few events, as where levels move slowly.

A few events do not show how far normal ones go, nor whether one is a mode of operation that recurs.
What a single sensor does at once is a fault all the same: a level that wanders goes slowly, and a
mode moves several features.
"""

from __future__ import annotations

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
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True)
class OneSensor:
    """Tells which events a single feature explains.

    Parameters
    ----------
    streams : list of (n_i, d)
        Readings in own units.
    rows : what decorrelates them.
    """

    streams: Sequence[Floats]
    rows: Scoring

    def fails(self, stream: int, begin: int, end: int, heights: Floats, start: float) -> bool:
        """Return whether one feature explains most of an event that begins or ends at once.

        Parameters
        ----------
        stream, begin, end
            Number of the event's stream, its first reading, and the one after its last.
        heights : (n,)
            Heights of the stream's readings.
        start
            Height above which a stretch is an event.
        """
        above = np.maximum(heights[max(begin - _AT_ONCE, 0) : end + _AT_ONCE] - start, 0.0)
        steps = np.abs(above[_AT_ONCE:] - above[:-_AT_ONCE])
        if steps.max(initial=0.0) < _MOST * above.max():
            return False
        return self._explained(stream, begin + int(heights[begin:end].argmax())) >= _MOST

    def _explained(self, stream: int, top: int) -> float:
        """Return the largest share of the squared distance at ``top`` that a feature explains."""
        values = np.concatenate(self.streams)
        centre, d = np.median(values, axis=0), values.shape[1]
        if d == 1:
            return 0.0  # nothing tells its faults from modes
        half = _AT_ONCE // 2
        level = np.median(self.streams[stream][max(top - half, 0) : top + half + 1], axis=0)
        moved = centre + np.diag(values.std(axis=0))
        usual, there, *alone = self.rows(np.concatenate([centre[None], level[None], moved]))
        way, ways = there - usual, np.array(alone) - usual
        norms = np.linalg.norm(ways, axis=1) * np.linalg.norm(way)
        cosines = ways @ way / np.maximum(norms, _TINY)
        return float(np.max(cosines**2))
