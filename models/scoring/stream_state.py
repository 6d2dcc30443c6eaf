"""Hold what one stream carries from request to request: JSON under 4 KB, exact when read back.

Stored states of every release must stay readable. The JSON keys are therefore spelled out here,
independent of attribute names. An absent key has its default; an unknown key is ignored.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np

from errors import InputError
from models.arrays import Floats
from models.scoring.alarms.bursts import Burst
from models.scoring.alarms.departures import Range
from models.scoring.alarms.events import Event
from models.scoring.alarms.settling import Level, Settling
from models.scoring.alarms.stretch import Level32, Stretch
from models.scoring.features.baseline import FirstReadings, group_size, units
from models.scoring.features.missing_runs import OpenRuns
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.magnitudes.adaptation import AdaptiveTail
from models.scoring.magnitudes.tail_kernel import ALPHA
from models.scoring.maintenance.suppression import OffState
from models.scoring.readings.clock import StreamClock
from models.scoring.state_values import as_count, pack, unpack

FORMAT: Final = 2  # of a state's tail; one in another format is not continued
#: Readings with more features have no level stored: it would not fit into 4 KB.
MAX_BASELINE_FEATURES: Final = 250


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
    clock : time of the newest reading, and whether that time is plausible.
    tail : smoothing and adaptive tail.
    events : open event of each kind.
    burst : the open event's current burst, which may open an incident.
    settling : levels that the stream has settled at, with their persistent events.
    off : whether the machine is off, and whether the newest reading was suppressed.
    first : readings collected for a baseline that is not known yet.
    count : readings that the baseline is the mean of; 0 until it is known.
    sums : (d,) ``count`` times the baseline, own units.
    seen : normal readings so far, up to the smoothing's length; used without a baseline.
    level : (d,) smoothed mean of the normal readings, own units; used without a baseline.
    missing : features that lack values now, and for how long.
    reset : number of the newest reset that was applied; 0: none.
    window_ends : the stored window lies before a reset or pause after which no reading began one;
        it must not be used.
    unknown_features_reported : unknown features were reported; a stream reports them once.
    """

    __slots__ = (
        "burst",
        "clock",
        "count",
        "events",
        "first",
        "level",
        "missing",
        "off",
        "reset",
        "seen",
        "settling",
        "sums",
        "tail",
        "unknown_features_reported",
        "window_ends",
    )  # fmt: skip

    def __init__(self, tail: AdaptiveTail, width: int) -> None:
        self.clock = StreamClock()
        self.tail = tail
        self.events: dict[str, Event] = {}
        self.burst: Burst | None = None
        self.off = OffState()
        self.settling = Settling()
        self.first = FirstReadings.empty(width)
        self.count = 0
        self.sums: Floats = np.zeros(width)
        self.seen = 0
        self.level: Floats = np.zeros(width)
        self.missing = OpenRuns()
        self.reset = 0
        self.window_ends = False
        self.unknown_features_reported = False

    @property
    def settled(self) -> bool:
        """Whether the baseline is known."""
        return self.count > 0

    @property
    def baseline(self) -> Floats:
        """Return the baseline (d,), in own units."""
        return self.sums / self.count

    def offset(self, pre: Preprocessing) -> Floats:
        """Return the baseline's distance from the group's centre, scaled: (d,)."""
        offset: Floats = pre.scaled(self.baseline[None])[0]
        return offset

    def learn_baseline(
        self, row: Floats, pre: Preprocessing, lacking: Collection[str] = ()
    ) -> None:
        """Add one reading (d,) to the baseline's sample; compute the baseline once it suffices.

        Parameters
        ----------
        row, pre, lacking
            As for :meth:`FirstReadings.add`.
        """
        self.first.add(row, pre, lacking)
        if self.first.count >= pre.baseline:
            self.count = self.first.count
            self.sums = self.count * self.first.level(pre)
            self.first = FirstReadings.empty(len(row))

    def learn_level(self, row: Floats) -> None:
        """Update the level by one normal reading (d,): a mean at first, then smoothed."""
        if self.seen < _SETTLED:
            self.seen += 1
        step = row - self.level
        step *= max(1.0 / self.seen, ALPHA)
        step += self.level
        self.level = step

    def learn_past(self, rows: Floats) -> None:
        """Apply :meth:`learn_level` to readings (n, d) in order, in one step."""
        left, weights = _weights(self.seen, len(rows))
        self.seen = min(self.seen + len(rows), _SETTLED)
        self.level = left * self.level + weights @ rows

    def restart(self, reset: int, tail: AdaptiveTail) -> list[dict[str, Any]]:
        """Apply a reset: clear baseline, levels, tail, window and events; keep the clock.

        Returns
        -------
        Entries of the events that the reset ends.
        """
        width = len(self.sums)
        self.reset, self.window_ends = reset, True
        self.off.suppressed = True  # the next reading in order is the first of a new window
        self.tail, self.first = tail, FirstReadings.empty(width)
        self.count, self.sums = 0, np.zeros(width)
        self.seen, self.level = 0, np.zeros(width)
        ended = [event.entry("cleared") for event in self.events.values()]
        ended += self.settling.entries("cleared")
        self.events.clear()
        self.settling = Settling()
        self.missing = OpenRuns()
        return ended

    def settle(
        self,
        at: Level32 | None,
        time: datetime,
        tail: AdaptiveTail,
        event: Event,
        stands: dict[int, Range],
    ) -> Level:
        """Settle at a level: its event becomes persistent, and the tail restarts.

        Parameters
        ----------
        at : (d,)
            The level, in scaled units; None: that of training.
        time
            Time of the reading at which the stream settles.
        tail
            Tail that the stream starts the level with.
        event
            The event that becomes persistent.
        stands
            Known values of features that are scored by frequency, by number.
        """
        opened = self.burst.opened if self.burst and self.burst.event == event.id else None
        level = Level(at, time.isoformat(), event, opened, stands=stands)
        self.settling.levels.append(level)
        self.settling.stretch = Stretch()
        self.settling.departures.forget(stands)
        self.tail, self.burst = tail, None
        self.events.clear()
        return level

    def normal(self, pre: Preprocessing) -> Floats:
        """Return the best estimate of the stream's normal level: (d,), own units."""
        if pre.baseline and self.settled:
            return self.sums / self.count
        return self.level if self.seen else pre.center

    def to_dict(self, version: str, pre: Preprocessing) -> dict[str, Any]:
        """Return the state ready for JSON; other modules may read ``bundle`` and ``last``."""
        last = self.clock.last
        out: dict[str, Any] = {
            "v": FORMAT,
            "bundle": version,
            "last": last.isoformat() if last else None,
            "tail": self.tail.to_list(),
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
        elif self.seen and len(self.level) <= MAX_BASELINE_FEATURES:
            out["level"] = [_fingerprint(pre), self.seen, pack(self.level, "<f8")]
        if levels := self.settling.to_list():
            out["levels"] = levels
        if missing := self.missing.to_list():
            out["missing"] = [_fingerprint(pre), missing]
        if self.reset:
            out["reset"] = [self.reset, self.window_ends]
        elif self.window_ends:
            out["window_ends"] = True
        if self.unknown_features_reported:
            out["told"] = True
        return out

    @classmethod
    def from_dict(
        cls, data: dict[str, Any] | None, version: str, pre: Preprocessing, tail: AdaptiveTail
    ) -> StreamState:
        """Read what :meth:`to_dict` returned, possibly with another bundle.

        With another bundle the tail restarts and settled levels are dropped. The clock, events and
        (if the features are the same) the baseline are kept; so is the level, unless it was learnt
        while the stream was settled elsewhere.

        Parameters
        ----------
        data
            None for a new stream.
        version
            Version of the bundle in use.
        pre
            Preprocessing of the stream's group.
        tail
            Tail of a new stream.

        Raises
        ------
        InputError
            ``bad_state`` if ``data`` is not a state that the service returned.
        """
        state = cls(tail, len(pre.names))
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
        self.window_ends = bool(data.get("window_ends", False))
        if data.get("reset"):
            number, ends = data["reset"]
            self.reset, self.window_ends = as_count(number), bool(ends)
        tail, level = data.get("tail"), data.get("level")
        if tail is not None and data.get("bundle") == version and data.get("v") == FORMAT:
            self.tail = AdaptiveTail.from_list(tail)
            self.settling = Settling.from_list(data.get("levels"), len(pre.names))
        else:
            settling = Settling.from_list(data.get("levels"), -1)
            if settling.shifted:  # it would explain each alarm by readings like those that alarm
                level = None
            self._leave_levels(settling)
        if (missing := data.get("missing")) and missing[0] == _fingerprint(pre):
            self.missing = OpenRuns.from_list(missing[1])
        if pre.baseline:
            self._read_baseline(data.get("baseline"), data.get("first"), pre)
        elif level and level[0] == _fingerprint(pre):
            self.seen = min(as_count(level[1]), _SETTLED)
            self.level = unpack(level[2], "<f8", len(pre.names))

    def _leave_levels(self, settling: Settling) -> None:
        """Turn the newest persistent event into an ordinary one.

        Settled levels mean nothing to another bundle.
        """
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
            else:  # an early release stored the sums of an incomplete baseline
                self.first = FirstReadings.alike(count, sums / count, pre)
        elif first and first[0] == units(pre):
            count = as_count(first[1])
            kept = unpack(first[2], "<f2", -(-count // group_size(pre)), width)
            self.first = FirstReadings(count, kept, unpack(first[3], "<f8", width))


def _fingerprint(pre: Preprocessing) -> int:
    return zlib.crc32("\x1f".join(pre.names).encode())
