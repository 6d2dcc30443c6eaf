"""Say where some of the readings fitted on are: by stream and time, or by row without times.

Row numbers change with each step that leaves readings out, so they tell nobody where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from models.arrays import Bools, Indices, Times
from models.scoring.features.garbage import row_ranges

_SHOWN: Final = 5  # stretches named


@dataclass(frozen=True, slots=True)
class Places:
    """Names and times of the readings fitted on.

    Parameters
    ----------
    times : list of (n_i,), or None if they are unknown.
    who : name of each stream, or None if they are unknown.
    """

    times: Sequence[Times] | None = None
    who: Sequence[str] | None = None

    def of(self, masks: Sequence[Bools]) -> str:
        """Describe the readings in which the masks (n_i,) of the streams are true."""
        if self.times is None:
            rows = np.flatnonzero(np.concatenate(masks)) + 1
            return f"row{'s' if len(rows) > 1 else ''} {row_ranges(rows)} of the readings fitted on"
        shown: list[str] = []
        count = 0
        for i, (mask, times) in enumerate(zip(masks, self.times, strict=True)):
            first, last = _ends(mask)
            count += len(first)
            shown += [
                self._named(i, f"{_second(times[a])}{_until(times[a], times[b])}")
                for a, b in islice(zip(first, last, strict=True), _SHOWN - len(shown))
            ]
        more = f" and {count - _SHOWN:,} more stretches" if count > _SHOWN else ""
        return f"{', '.join(shown)}{more} UTC"

    def of_one(self, stream: int, row: int, lengths: Sequence[int]) -> str:
        """Describe a single reading.

        Parameters
        ----------
        stream, row : numbers of the stream, and of the reading within it, from 0.
        lengths : numbers of readings of all streams.
        """
        if self.times is None:
            return f"row {sum(lengths[:stream]) + row + 1} of the readings fitted on"
        return f"{self._named(stream, _second(self.times[stream][row]))} UTC"

    def of_rows(self, mask: Bools, lengths: Sequence[int]) -> str:
        """Describe readings by a mask (n,) of all streams, one after another."""
        return self.of(np.split(mask, np.cumsum(lengths)[:-1]))

    def _named(self, stream: int, when: str) -> str:
        return when if self.who is None else f"{self.who[stream]} {when}"


def _ends(mask: Bools) -> tuple[Indices, Indices]:
    """Return the first and the last reading (k,) of each stretch of a mask (n,)."""
    at = np.flatnonzero(mask)
    if not len(at):
        return at, at
    new = np.flatnonzero(np.diff(at) > 1)
    return at[np.append(0, new + 1)], at[np.append(new, len(at) - 1)]


def _second(time: Any) -> str:
    return str(np.datetime64(time, "s")).replace("T", " ")


def _until(first: Any, last: Any) -> str:
    if first == last:
        return ""
    begin, end = _second(first), _second(last)
    return f" to {end[11:] if begin[:10] == end[:10] else end}"
