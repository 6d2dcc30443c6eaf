"""Hold what one stream carries from request to request: JSON under 4 KB, exact when read back.

Its keys are named here one by one, whatever the attributes are called: states are stored, and
those of every release must be read. A key that is not there has its default, one that is not
known is passed over.
"""

from __future__ import annotations

import math
import zlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np

from errors import InputError
from models.arrays import Floats
from models.scoring.adaptation import ALPHA, AdaptiveTail
from models.scoring.baseline import FirstReadings, group_size, units
from models.scoring.bursts import Burst
from models.scoring.clock import StreamClock
from models.scoring.events import Event
from models.scoring.preprocessing import Preprocessing
from models.scoring.settling import Level, Level32, Settling, Stretch
from models.scoring.state_values import as_count, pack, unpack
from models.scoring.suppression import OffState

FORMAT: Final = 2
#: Wider readings get no baseline or level of their own: it would not fit into 4 KB.
WIDEST_BASELINE: Final = 250


_SETTLED: Final = math.ceil(1.0 / ALPHA)


@lru_cache(maxsize=256)
def _weights(seen: int, n: int) -> tuple[float, Floats]:
    """Return the weights of the level and of each reading (n,) after ``n`` smoothing steps."""
    steps = np.maximum(1.0 / np.minimum(np.arange(seen + 1, seen + n + 1), _SETTLED), ALPHA)
    left = np.append(np.cumprod((1.0 - steps)[::-1])[::-1], 1.0)
    return float(left[0]), steps * left[1:]


class StreamState:
    """State of one stream; changed in place while its readings are scored.

    Attributes
    ----------
    clock : time of the newest reading, and whether it can be believed.
    follower : smoothing and adaptive tail.
    events : open event of each kind.
    burst : how far the open event is on its way to an incident.
    settling : levels that the stream has shifted to and stays at, with their persistent events.
    off : whether its machine is off, and whether it is suppressed otherwise.
    first : readings counted for a baseline that is not yet known.
    count, sums : readings that the baseline is made of, 0 until it is known, and that many times
        the baseline (d,), own units.
    seen, level : where there is no baseline, normal readings so far (counted up to the
        smoothing's length) and where they have been of late (d,), own units.
    reset : the newest reset that was applied; 0: none.
    window_ends : whether the window known so far is of the time before it.
    unknown_features_reported : whether they were, since they are reported once.
    """

    __slots__ = (
        "burst", "clock", "count", "events", "first", "follower", "level", "off", "reset", "seen",
        "settling", "sums", "unknown_features_reported", "window_ends",
    )  # fmt: skip

    def __init__(self, follower: AdaptiveTail, width: int) -> None:
        self.clock = StreamClock()
        self.follower = follower
        self.events: dict[str, Event] = {}
        self.burst: Burst | None = None
        self.off = OffState()
        self.settling = Settling()
        self.first = FirstReadings.none(width)
        self.count = 0
        self.sums: Floats = np.zeros(width)
        self.seen = 0
        self.level: Floats = np.zeros(width)
        self.reset = 0
        self.window_ends = False
        self.unknown_features_reported = False

    @property
    def settled(self) -> bool:
        """Whether the baseline is known."""
        return self.count > 0

    def offset(self, pre: Preprocessing) -> Floats:
        """Return the baseline's distance from the group's centre, scaled: (d,)."""
        offset: Floats = pre.scaled((self.sums / self.count)[None])[0]
        return offset

    def learn_baseline(self, row: Floats, pre: Preprocessing) -> None:
        """Count one reading (d,) for the baseline, which is known once there are enough."""
        self.first.add(row, pre)
        if self.first.count >= pre.baseline:
            self.count = self.first.count
            self.sums = self.count * self.first.level(pre)
            self.first = FirstReadings.none(len(row))

    def learn_level(self, row: Floats) -> None:
        """Let the level follow one normal reading (d,): a mean at first, then smoothed."""
        if self.seen < _SETTLED:
            self.seen += 1
        step = row - self.level
        step *= max(1.0 / self.seen, ALPHA)
        step += self.level
        self.level = step

    def learn_past(self, rows: Floats) -> None:
        """Learn readings (n, d) in order, at once, as :meth:`learn_level` does."""
        left, weights = _weights(self.seen, len(rows))
        self.seen = min(self.seen + len(rows), _SETTLED)
        self.level = left * self.level + weights @ rows

    def restart(self, reset: int, median: float) -> list[dict[str, Any]]:
        """Apply a reset: baseline, levels, tail, window and events start again, the time goes on.

        Returns
        -------
        Entries of the events that it ends.
        """
        width = len(self.sums)
        self.reset, self.window_ends = reset, True
        self.off.suppressed = True  # the next reading in order is the first of a new window
        self.follower, self.first = AdaptiveTail(median), FirstReadings.none(width)
        self.count, self.sums = 0, np.zeros(width)
        self.seen, self.level = 0, np.zeros(width)
        ended = [event.entry("cleared") for event in self.events.values()]
        ended += self.settling.entries("cleared")
        self.events.clear()
        self.settling = Settling()
        return ended

    def settle(self, at: Level32, time: datetime, median: float, event: Event) -> Level:
        """Settle at a level; the event is persistent from now on, and the tail starts again.

        Parameters
        ----------
        at : (d,)
            The level, in scaled units.
        time
            Of the reading that settles it.
        median
            The tail's, from which it starts again.
        event
            The one that is persistent from now on.
        """
        opened = self.burst.opened if self.burst and self.burst.event == event.id else None
        level = Level(at, time.isoformat(), event, opened)
        self.settling.levels.append(level)
        self.settling.stretch = Stretch()
        self.follower, self.burst = AdaptiveTail(median), None
        self.events.clear()
        return level

    def normal(self, pre: Preprocessing) -> Floats:
        """Return where the stream is when nothing is wrong, as far as is known: (d,), own units."""
        if pre.baseline and self.settled:
            return self.sums / self.count
        return self.level if self.seen else pre.center

    def to_dict(self, version: str, pre: Preprocessing) -> dict[str, Any]:
        """Return it ready for JSON; others may read ``bundle`` and ``last``."""
        last = self.clock.last
        out: dict[str, Any] = {
            "v": FORMAT,
            "bundle": version,
            "last": last.isoformat() if last else None,
            "tail": self.follower.to_list(),
        }
        if last:
            out["clock"] = self.clock.to_list()
        if self.events:
            out["events"] = [event.to_list() for event in self.events.values()]
        if self.burst is not None:
            out["incident"] = self.burst.to_list()
        if (off := self.off.to_list()) is not None:
            out["off"] = off
        if pre.baseline and self.settled:
            out["baseline"] = [_fingerprint(pre), self.count, pack(self.sums, "<f8")]
        elif pre.baseline and self.first.count:
            kept, sums = pack(self.first.kept, "<f2"), pack(self.first.sums, "<f8")
            out["first"] = [units(pre), self.first.count, kept, sums]
        elif self.seen and len(self.level) <= WIDEST_BASELINE:
            out["level"] = [_fingerprint(pre), self.seen, pack(self.level, "<f8")]
        if levels := self.settling.to_list():
            out["levels"] = levels
        if self.reset:
            out["reset"] = [self.reset, self.window_ends]
        if self.unknown_features_reported:
            out["told"] = True
        return out

    @classmethod
    def from_dict(
        cls, data: dict[str, Any] | None, version: str, pre: Preprocessing, median: float
    ) -> StreamState:
        """Read what :meth:`to_dict` returned, possibly under another bundle; None: a new stream.

        Under another bundle the tail is restarted and its levels are left; time, events and (for
        the same features) baseline and level stay.

        Parameters
        ----------
        data
            None: a new stream.
        version
            Of the bundle in force.
        pre
            Of the stream's group.
        median
            From which a fresh tail starts.

        Raises
        ------
        InputError
            ``bad_state`` when it is not something a service gave out.
        """
        state = cls(AdaptiveTail(median), len(pre.names))
        if data is None:
            return state
        try:
            state._read(data, version, pre)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                f"state: not a stream's state: {str(error)[:200]}", code="bad_state", field="state"
            ) from None
        return state

    def _read(self, data: dict[str, Any], version: str, pre: Preprocessing) -> None:
        if data.get("last"):
            self.clock.last = datetime.fromisoformat(data["last"]).astimezone(UTC)
        if data.get("clock"):
            self.clock.read(data["clock"])
        for entry in data.get("events") or ():
            event = Event.from_list(entry)
            self.events[event.kind] = event
        if data.get("incident"):
            self.burst = Burst.from_list(data["incident"])
        self.off = OffState.from_list(data.get("off"))
        self.unknown_features_reported = bool(data.get("told", False))
        if data.get("reset"):
            number, ends = data["reset"]
            self.reset, self.window_ends = as_count(number), bool(ends)
        tail = data.get("tail")
        if tail is not None and data.get("bundle") == version and data.get("v") == FORMAT:
            self.follower = AdaptiveTail.from_list(tail)
            self.settling = Settling.from_list(data.get("levels"), len(pre.names))
        else:
            self._leave_levels(Settling.from_list(data.get("levels"), -1))
        if pre.baseline:
            self._read_baseline(data.get("baseline"), data.get("first"), pre)
        elif (level := data.get("level")) and level[0] == _fingerprint(pre):
            self.seen = min(as_count(level[1]), _SETTLED)
            self.level = unpack(level[2], "<f8", len(pre.names))

    def _leave_levels(self, settling: Settling) -> None:
        """Go on with the newest persistent event as with any: another bundle has other levels."""
        last = next((one for one in reversed(settling.levels) if one.event is not None), None)
        if last is None or last.event is None or self.events or self.clock.last is None:
            return
        last.event.last, last.event.quiet = self.clock.last.timestamp(), 0
        self.events[last.event.kind] = last.event
        self.burst = Burst(last.event.id, opened=last.opened)

    def _read_baseline(self, baseline: Any, first: Any, pre: Preprocessing) -> None:
        width = len(pre.names)
        if baseline and baseline[0] == _fingerprint(pre):
            count, sums = as_count(baseline[1]), unpack(baseline[2], "<f8", width)
            if count >= pre.baseline:
                self.count, self.sums = count, sums
            else:  # once, the sums of a baseline just begun were stored
                self.first = FirstReadings.alike(count, sums / count, pre)
        elif first and first[0] == units(pre):
            count = as_count(first[1])
            kept = unpack(first[2], "<f2", -(-count // group_size(pre)), width)
            self.first = FirstReadings(count, kept, unpack(first[3], "<f8", width))


def _fingerprint(pre: Preprocessing) -> int:
    return zlib.crc32("\x1f".join(pre.names).encode())
