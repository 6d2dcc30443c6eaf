"""What one stream carries from request to request: JSON under 4 KB, exact when read back."""

from __future__ import annotations

import base64
import math
import zlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from errors import InputError
from models.events import Event
from models.preprocessing import Preprocessing
from models.thresholds import ALPHA, Follower

FORMAT: Final = 2
#: Wider readings get no baseline or level of their own: it would not fit into 4 KB.
WIDEST_BASELINE: Final = 250


_SETTLED: Final = math.ceil(1.0 / ALPHA)


@lru_cache(maxsize=256)
def _weights(seen: int, n: int) -> tuple[float, NDArray[np.float64]]:
    """What ``n`` steps of the smoothing leave of the level, and make of each reading (n,)."""
    steps = np.maximum(1.0 / np.minimum(np.arange(seen + 1, seen + n + 1), _SETTLED), ALPHA)
    left = np.append(np.cumprod((1.0 - steps)[::-1])[::-1], 1.0)
    return float(left[0]), steps * left[1:]


class StreamState:
    """One stream's memory; changed in place while its readings are scored.

    Attributes
    ----------
    last : time of the newest reading; None for a new stream.
    follower : smoothing and adaptive tail.
    events : open event of each kind.
    count, sums : readings that went into the baseline so far, and their sum (d,), own units.
    seen, level : where there is no baseline, normal readings so far (counted up to the
        smoothing's length) and where they have been of late (d,), own units.
    told : whether unknown features were already reported.
    """

    __slots__ = ("count", "events", "follower", "last", "level", "seen", "sums", "told")

    def __init__(self, follower: Follower, width: int) -> None:
        self.last: datetime | None = None
        self.follower = follower
        self.events: dict[str, Event] = {}
        self.count = 0
        self.sums: NDArray[np.float64] = np.zeros(width)
        self.seen = 0
        self.level: NDArray[np.float64] = np.zeros(width)
        self.told = False

    def offset(self, pre: Preprocessing) -> NDArray[np.float64]:
        """The baseline's distance from the group's centre, scaled: (d,)."""
        offset: NDArray[np.float64] = pre.scaled((self.sums / self.count)[None])[0]
        return offset

    def learn_baseline(self, row: NDArray[np.float64]) -> None:
        """Count one reading (d,) into the baseline."""
        self.count += 1
        self.sums = self.sums + row

    def learn_level(self, row: NDArray[np.float64]) -> None:
        """Let the level follow one normal reading (d,): a mean at first, then smoothed."""
        if self.seen < _SETTLED:
            self.seen += 1
        self.level = self.level + max(1.0 / self.seen, ALPHA) * (row - self.level)

    def learn_past(self, rows: NDArray[np.float64]) -> None:
        """:meth:`learn_level` of readings (n, d) in order, at once."""
        left, weights = _weights(self.seen, len(rows))
        self.seen = min(self.seen + len(rows), _SETTLED)
        self.level = left * self.level + weights @ rows

    def normal(self, pre: Preprocessing) -> NDArray[np.float64]:
        """Where the stream is when nothing is wrong, as far as is known: (d,), own units."""
        if pre.baseline and self.count >= pre.baseline:
            return self.sums / self.count
        return self.level if self.seen else pre.center

    def to_dict(self, version: str, pre: Preprocessing) -> dict[str, Any]:
        """JSON-ready; others may read ``bundle`` and ``last``."""
        out: dict[str, Any] = {
            "v": FORMAT,
            "bundle": version,
            "last": self.last.isoformat() if self.last else None,
            "tail": self.follower.to_list(),
        }
        if self.events:
            out["events"] = [event.to_list() for event in self.events.values()]
        if pre.baseline and self.count:
            out["baseline"] = [_fingerprint(pre), self.count, _packed(self.sums)]
        elif self.seen and len(self.level) <= WIDEST_BASELINE:
            out["level"] = [_fingerprint(pre), self.seen, _packed(self.level)]
        if self.told:
            out["told"] = True
        return out

    @classmethod
    def from_dict(
        cls, data: dict[str, Any] | None, version: str, pre: Preprocessing, median: float
    ) -> StreamState:
        """What :meth:`to_dict` gave, possibly under another bundle; None: a new stream.

        Under another bundle the tail starts anew; time, events and (for the same features)
        baseline and level stay.

        Raises
        ------
        InputError
            ``bad_state`` when it is not something a service gave out.
        """
        state = cls(Follower(median), len(pre.names))
        if data is None:
            return state
        try:
            if data.get("last"):
                state.last = datetime.fromisoformat(data["last"]).astimezone(UTC)
            for entry in data.get("events", []):
                event = Event.from_list(entry)
                state.events[event.kind] = event
            state.told = bool(data.get("told", False))
            if data.get("bundle") == version and data.get("v") == FORMAT:
                state.follower = Follower.from_list(data["tail"])
                if not all(map(math.isfinite, data["tail"])):
                    raise ValueError("not finite")
            baseline = data.get("baseline")
            if pre.baseline and baseline and baseline[0] == _fingerprint(pre):
                state.count, state.sums = int(baseline[1]), _unpacked(baseline[2], pre)
            level = data.get("level")
            if not pre.baseline and level and level[0] == _fingerprint(pre):
                state.seen, state.level = int(level[1]), _unpacked(level[2], pre)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"state: not a stream's state: {error}", code="bad_state", field="state"
            ) from None
        return state


def _packed(values: NDArray[np.float64]) -> str:
    return base64.b64encode(values.astype("<f8").tobytes()).decode()


def _unpacked(text: str, pre: Preprocessing) -> NDArray[np.float64]:
    values = np.frombuffer(base64.b64decode(text), "<f8").astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("not finite")
    return values.reshape(len(pre.names))


def _fingerprint(pre: Preprocessing) -> int:
    return zlib.crc32("\x1f".join(pre.names).encode())
