"""Say where some of the readings fitted on are: by stream and time, or by row without times.

Rows are numbered anew after each step that leaves readings out, so they tell nobody where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models.arrays import Bools, Indices, Times
from models.scoring.garbage import row_ranges

_SHOWN: Final = 5


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
        found = [
            self._named(i, f"{_second(times[run[0]])}{_until(times[run[0]], times[run[-1]])}")
            for i, (mask, times) in enumerate(zip(masks, self.times, strict=True))
            for run in _runs(mask)
        ]
        more = f" and {len(found) - _SHOWN:,} more stretches" if len(found) > _SHOWN else ""
        return f"{', '.join(found[:_SHOWN])}{more} UTC"

    def of_rows(self, mask: Bools, lengths: Sequence[int]) -> str:
        """Describe readings by a mask (n,) of all streams, one after another."""
        return self.of(np.split(mask, np.cumsum(lengths)[:-1]))

    def _named(self, stream: int, when: str) -> str:
        return when if self.who is None else f"{self.who[stream]} {when}"


def _runs(mask: Bools) -> list[Indices]:
    at = np.flatnonzero(mask)
    return np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) if len(at) else []


def _second(time: Any) -> str:
    return str(np.datetime64(time, "s")).replace("T", " ")


def _until(first: Any, last: Any) -> str:
    if first == last:
        return ""
    begin, end = _second(first), _second(last)
    return f" to {end[11:] if begin[:10] == end[:10] else end}"
