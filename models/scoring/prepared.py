"""One stream's readings, prepared for the detectors and the decision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from errors import AnomalyError
from models.arrays import Floats
from models.scoring.alarms.settling import Settling
from models.scoring.features.level_offsets import LevelOffsets
from models.scoring.readings.clock import Step
from models.scoring.readings.window_index import WindowIndex
from models.scoring.stream_state import StreamState
from models.scoring.stream_work import Reading, StreamWork

#: What happens to a reading in windows, see ``metadata.window`` in docs/architecture.md.
ADDED: Final = "added"
RESTARTED: Final = "restarted"
LEFT_OUT: Final = "left_out"

#: Why a stream restarts: its clock had run ahead, its state was unreadable, or a person asked.
CLOCK_AHEAD: Final = "clock_ahead"
BAD_STATE: Final = "bad_state"
RESET: Final = "reset"


class PreparedReading:
    """One reading and what preparation found; the class attributes are the usual values."""

    mark = ADDED
    step = Step.NEXT
    error: AnomalyError | None = None
    gap = False  # first reading after a pause
    restarted: str | None = None  # why the stream restarts at this reading
    suppressed: dict[str, Any] | None = None  # why its alarm is suppressed
    zeros = False  # a row of zeros that is no measurement
    ended: Sequence[dict[str, Any]] = ()  # entries of events that a reset or a person ended
    resumed = False  # first reading after suppressed ones
    interval: float | None = None  # the stream's own in seconds, if unlike that of training
    late = False  # older than the stream's newest reading
    behind_s = 0.0  # seconds by which a late reading is older than the newest
    warm = False  # scored before the stream's baseline was known
    windowed = False  # has a full window
    aside = False  # bridged in windows, since it lacks features that the one before has
    imputed: Sequence[str] = ()
    unknown: Sequence[str] = ()
    condition = 0  # index of its operating condition, or of the nearest
    unfit: Sequence[str] = ()  # indicator features outside the ranges of every condition
    outside: Sequence[str] = ()
    failed: Sequence[str] = ()  # features whose values no sensor measured, for long
    missing: Mapping[str, str] = MappingProxyType({})  # features without values for long: since
    mended = False  # first reading with a value of a sensor that had failed
    rare: Mapping[str, float] = MappingProxyType({})  # decades of features scored by frequency
    repeated: Mapping[str, int] = MappingProxyType({})  # readings in a row with a rare value
    elsewhere: Sequence[str] = ()  # rare features at values that the stream has settled at

    def __init__(
        self, received: Reading, criticality: str, arrived: datetime | None = None
    ) -> None:
        self.received = received
        self.criticality = criticality  # of the asset
        self.arrived = arrived

    def mark_outside(self, names: Iterable[str]) -> None:
        """Mark features with values that no sensor measured, each once."""
        self.outside = [*dict.fromkeys([*self.outside, *names])]

    @property
    def begins(self) -> bool:
        """Whether a window begins here: not in order, or the first after suppressed readings."""
        return self.step is not Step.NEXT or self.resumed


@dataclass(slots=True)
class PreparedStream:
    """One stream, ready for the detectors.

    Attributes
    ----------
    rows : (n, d) scaled readings that can be scored, in order, relative to their nearest level.
    raw : (n, d) the same readings in their own units, restated for the usual operating condition.
    received : (n, d) the same readings as received.
    windows : (m, w, d) windows of the readings that are ``windowed``, in order.
    scaled : (k + n, d) the ``k`` rows of the earlier window, then all rows; no level subtracted.
    track : which rows of ``scaled`` each window consists of; its last m windows are ``windows``.
    offsets : settled levels as the rows of ``scaled`` have them.
    refill : returns ``scaled`` in own units, and scaled, with what is missing at settled levels
        imputed from deviations from the newest.
    near : (n,) index of each row's nearest level, see :meth:`Settling.centred`.
    """

    work: StreamWork
    readings: list[PreparedReading]
    rows: Floats
    raw: Floats
    received: Floats
    windows: Floats | None
    state: StreamState
    scaled: Floats
    track: WindowIndex
    offsets: LevelOffsets
    refill: Callable[[Settling], tuple[Floats, Floats]]
    near: list[int] | None = None

    def rest(self, done: int) -> PreparedStream:
        """Return the stream without its first ``done`` readings, at the current levels."""
        readings = self.readings[done:]
        scored = sum(reading.error is None for reading in readings)
        windowed = sum(reading.windowed for reading in readings)
        settling = self.state.settling
        raw, scaled = self.refill(settling)
        rows, near = settling.centred(scaled, self.offsets)
        windows = self.track.cut(rows)
        if windows is not None:
            windows = windows[len(windows) - windowed :] if windowed else None
        first = len(rows) - scored
        return replace(
            self, readings=readings, rows=rows[first:], raw=raw[len(raw) - scored :],
            received=self.received[len(self.received) - scored :], windows=windows,
            scaled=scaled, near=near and near[first:],
        )  # fmt: skip
