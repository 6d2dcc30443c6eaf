"""Track which rows a stream's windows consist of, and notice readings that were lost."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from models.arrays import Floats
from models.scoring.readings.clock import LIKE
from models.scoring.stream_work import Reading

#: Newest intervals that tell whether a stream keeps to training's.
PACED_BY: Final = 3


class WindowIndex:
    """Track which of a stream's rows each window consists of.

    Lost readings are bridged by rows on a straight line between their neighbours. If a whole window
    or more was lost, the window is cleared instead.

    Parameters
    ----------
    width : readings in a full window, at least 2; 0 if no detector uses windows.
    """

    def __init__(self, width: int) -> None:
        #: rows that later windows contain, oldest first; bridging ones count down from -1
        self._chain: list[int] = []
        self._begin = 0  # where the current window begins in the chain
        self._width = width
        self._starts: list[int] = []  # where each full window begins in the chain
        self._ends: list[int] = []  # the last row of each, which may not be in the chain
        #: of each bridging row: its neighbours, and the fraction of the way between them
        self._bridging: list[tuple[int, int, float]] = []

    def hold(self, row: int, lost: int = 0) -> None:
        """Add a row of the earlier window, after ``lost`` readings."""
        self._bridge(row, lost)
        self._chain.append(row)

    def take(self, row: int, stays: bool, lost: int = 0) -> bool:
        """Add a row; return whether its window is full.

        Parameters
        ----------
        row : its index.
        stays : whether later windows contain it, too.
        lost : readings that are missing between the current window and a row that stays.
        """
        if stays:
            self._bridge(row, lost)
        start = len(self._chain) - self._width + 1
        full = self._width > 0 and start >= self._begin
        if full:
            self._starts.append(start)
            self._ends.append(row)
        if stays:
            self._chain.append(row)
        return full

    def _bridge(self, row: int, lost: int) -> None:
        if not lost or len(self._chain) == self._begin:
            return
        if lost >= self._width:
            self.restart()
            return
        last = self._chain[-1]
        for number in range(1, lost + 1):
            self._bridging.append((last, row, number / (lost + 1)))
            self._chain.append(-len(self._bridging))

    def restart(self) -> None:
        """Clear the window."""
        self._begin = len(self._chain)

    def cut(self, rows: Floats) -> Floats | None:
        """Return all full windows (m, w, d); a view where they are consecutive."""
        if not self._ends:
            return None
        starts, width = self._starts, self._width
        first, count = self._chain[starts[0]], len(starts)
        # the first and last window are as far apart as consecutive windows would be: a view will do
        consecutive = starts[-1] - starts[0] == count - 1 and not self._bridging
        if consecutive and self._ends[-1] - first == count + width - 2:
            if count == 1:
                return rows[None, first : first + width]
            used = rows[first : first + count + width - 1]
            return sliding_window_view(used, width, axis=0).transpose(0, 2, 1)
        index = np.empty((count, width), np.intp)
        index[:, :-1] = np.array(self._chain)[np.array(starts)[:, None] + np.arange(width - 1)]
        index[:, -1] = self._ends
        out: Floats = self._bridged(rows)[index]
        return out

    def _bridged(self, rows: Floats) -> Floats:
        """Return the rows, then the bridging ones, the newest first."""
        if not self._bridging:
            return rows
        before, after, fraction = map(np.array, zip(*self._bridging[::-1], strict=True))
        between = rows[before] + fraction[:, None] * (rows[after] - rows[before])
        return np.concatenate([rows, between])


class Pace:
    """Notice lost readings by the times of those that are in the window.

    They are noticed where training's interval was regular, and the shortest of the newest few
    intervals is like it: not in a stream that sends less often, or several readings at a time.

    Parameters
    ----------
    step : seconds between training's readings, if regular.
    width : readings in a full window; 0 if no detector uses windows.
    """

    def __init__(self, step: float | None, width: int) -> None:
        self._every = None if step is None or not width else timedelta(seconds=step)
        self._width = width
        self._steps: deque[timedelta] = deque(maxlen=PACED_BY)
        self.newest: Reading | None = None  # of the window

    def lost(self, reading: Reading) -> int:
        """Return how many readings are missing between the window and its next reading."""
        before = None if self.newest is None else self.newest.timestamp
        if self._every is None or before is None or reading.timestamp is None:
            return 0
        passed = reading.timestamp - before
        if passed <= self._every or not self.regular():
            return 0
        return round(passed / self._every) - 1

    def regular(self) -> bool:
        """Return whether the newest intervals are those of training."""
        every = self._every
        return (
            every is not None
            and bool(self._steps)
            and (abs(min(self._steps) - every) <= LIKE * every)
        )

    def keep(self, reading: Reading, lost: int) -> None:
        """Add a reading, after ``lost`` others, to the window, which is cleared if it must be."""
        if lost >= self._width:
            self.restart()
        if self.newest is not None and self.newest.timestamp and reading.timestamp:
            self._steps.append(reading.timestamp - self.newest.timestamp)
        self.newest = reading

    def restart(self) -> None:
        """Clear the window."""
        self._steps.clear()
        self.newest = None
