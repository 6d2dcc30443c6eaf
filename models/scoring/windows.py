"""Turn one stream's work into rows and windows: order, gaps, missing values, baseline.

Everything here that depends on earlier readings lives in the stream's state or window, so a
batch cut differently gives the same rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from errors import AnomalyError, InputError
from models.arrays import Floats
from models.scoring.clock import Step
from models.scoring.conditions import Conditions
from models.scoring.preprocessing import Preprocessing
from models.scoring.stream_state import StreamState
from models.scoring.suppression import MaintenanceWindow, OffCondition, Suppressor

#: Why a stream starts again: its time had run ahead, or its state could not be read.
CLOCK_AHEAD: Final = "clock_ahead"
BAD_STATE: Final = "bad_state"
RESET: Final = "reset"

_FEATURES = attrgetter("features")

ADDED: Final = "added"
RESTARTED: Final = "restarted"
LEFT_OUT: Final = "left_out"


@dataclass(slots=True)
class Reading:
    """One reading; ``timestamp`` is aware UTC, None only inside a window sent without times."""

    timestamp: datetime | None
    features: Mapping[str, float]


@dataclass(slots=True)
class StreamWork:
    """Consecutive readings of one stream, all of one group.

    ``criticality`` is the asset's, or one per reading. ``state``: what the last call returned, None
    for a new stream; ``window`` past readings, oldest first, at most ``window_length`` of them.
    ``arrived`` says of each reading when Kafka had it (empty: not known), ``now`` the time at who
    asks: see :mod:`models.scoring.clock`. ``renew``: a state that cannot be read is no error, the
    stream starts again. ``false_alarms``: of the asset, that people reported lately, see
    :func:`models.scoring.bursts.raised_by`. ``maintenance``, ``off_conditions``: when its alarms
    are none, see :mod:`models.scoring.suppression`. ``reset``: the newest reset asked for; the
    first reading after one that the state does not know starts the stream again. ``closed_events``:
    persistent ones whose incidents people closed, see :mod:`models.scoring.settling`.
    """

    asset_id: str
    sensor_id: str | None
    feature: str | None
    criticality: str | Sequence[str]
    state: dict[str, Any] | None
    window: Sequence[Reading]
    readings: Sequence[Reading]
    arrived: Sequence[datetime | None] = ()
    now: datetime | None = None
    renew: bool = False
    false_alarms: int = 0
    maintenance: Sequence[MaintenanceWindow] = ()
    off_conditions: Sequence[OffCondition] = ()
    reset: int = 0
    closed_events: Collection[str] = ()


class PreparedReading:
    """What preparation found out about one reading; most readings are as the class says."""

    mark = ADDED
    step = Step.NEXT
    error: AnomalyError | None = None
    gap = False  # the first after a pause
    restarted: str | None = None  # why the stream starts again with it
    suppressed: dict[str, Any] | None = None  # why its alarms are none
    ended: Sequence[dict[str, Any]] = ()  # events that a reset or a person ends, as entries
    resumed = False  # the first that is not suppressed any more
    late = False  # older than the stream's last
    behind_s = 0.0  # a late one: seconds before the stream's last
    warm = False  # scored before the stream's baseline was known
    windowed = False  # has a full window
    imputed: Sequence[str] = ()
    unknown: Sequence[str] = ()
    condition = 0  # of operation, that it is in or nearest to
    unfit: Sequence[str] = ()  # indicators of the condition that fit none
    outside: Sequence[str] = ()
    moved: Mapping[str, float] = MappingProxyType({})  # decades of what stood still in training

    def __init__(self, point: Reading, criticality: str, arrived: datetime | None = None) -> None:
        self.point = point
        self.criticality = criticality  # of the asset
        self.arrived = arrived


@dataclass(slots=True)
class PreparedStream:
    """One stream, ready for the detectors.

    ``rows`` (n, d) are the scaled readings that can be scored, in order, from the level on that
    each is nearest to, ``near`` (n,) which that is (:meth:`Settling.centred`); ``raw`` the same in
    their own units, as in the usual operating condition, ``received`` as they came; ``windows``
    (m, w, d) those of the readings that are ``windowed``, in that order. ``scaled`` (k + n, d) are
    ``rows`` as they were, behind the ``k`` of the window known before, of which ``track`` knows the
    windows, the last m being these.
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
    near: list[int] | None = None

    def rest(self, done: int) -> PreparedStream:
        """Return what follows the first ``done`` readings, at the levels there are now."""
        readings = self.readings[done:]
        scored = sum(reading.error is None for reading in readings)
        windowed = sum(reading.windowed for reading in readings)
        rows, near = self.state.settling.centred(self.scaled)
        windows = self.track.cut(rows)
        if windows is not None:
            windows = windows[len(windows) - windowed :] if windowed else None
        first = len(rows) - scored
        return replace(
            self, readings=readings, rows=rows[first:], raw=self.raw[len(self.raw) - scored :],
            received=self.received[len(self.received) - scored :], windows=windows,
            near=near and near[first:],
        )  # fmt: skip


class WindowIndex:
    """Track which of a stream's rows each window is made of.

    Parameters
    ----------
    held : rows that come before the readings; all are in the window in force.
    width : readings in a full window, two at least; 0: no window detector.
    """

    def __init__(self, held: int, width: int) -> None:
        self._chain = list(range(held))  # rows that joined a window, oldest first
        self._begin = 0  # where the window in force begins in it
        self._width = width
        self._starts: list[int] = []  # of each full window, where it begins in the chain
        self._ends: list[int] = []  # and the row it ends with, which may not have joined

    def take(self, row: int, stays: bool) -> bool:
        """Note the window that ends at ``row``, which joins the chain if it ``stays``.

        Returns whether it is full.
        """
        start = len(self._chain) - self._width + 1
        full = self._width > 0 and start >= self._begin
        if full:
            self._starts.append(start)
            self._ends.append(row)
        if stays:
            self._chain.append(row)
        return full

    def restart(self) -> None:
        """Clear the window."""
        self._begin = len(self._chain)

    def cut(self, rows: Floats) -> Floats | None:
        """Return the windows noted, (m, w, d); a view where they are consecutive."""
        if not self._ends:
            return None
        starts, width = self._starts, self._width
        first, count = self._chain[starts[0]], len(starts)
        # as many rows as fit between the first and the last: each window follows the one before
        if starts[-1] - starts[0] == count - 1 and self._ends[-1] - first == count + width - 2:
            if count == 1:
                return rows[None, first : first + width]
            used = rows[first : first + count + width - 1]
            return sliding_window_view(used, width, axis=0).transpose(0, 2, 1)
        index = np.empty((count, width), np.intp)
        index[:, :-1] = np.array(self._chain)[np.array(starts)[:, None] + np.arange(width - 1)]
        index[:, -1] = self._ends
        out: Floats = rows[index]
        return out


def prepare(
    pre: Preprocessing,
    width: int,
    state: StreamState,
    work: StreamWork,
    gap_factor: float,
    group: str = "default",
) -> PreparedStream:
    """Bring one stream's readings into the detectors' form.

    Changes ``state`` only: its time, its baseline, and what was reported.

    Parameters
    ----------
    pre
        Of the stream's group.
    width
        Readings of a window; 0: no detector looks at windows.
    state, work
        The stream's state, and its readings with their past.
    gap_factor
        A pause longer than so many of the stream's own steps is a gap; of the group's, while its
        own are not known.
    group
        Names the model set in errors.
    """
    window = () if state.window_ends else work.window
    past = _past(pre, window)
    given = work.criticality
    each = [given] * len(work.readings) if isinstance(given, str) else given
    arrived = work.arrived or (None,) * len(work.readings)
    readings = list(map(PreparedReading, work.readings, each, arrived))
    new = (_values(pre, state, reading) for reading in readings)
    values = past + [row for row in new if row is not None]
    size = (len(values), len(pre.names))
    received = np.fromiter(chain.from_iterable(values), np.float64, size[0] * size[1]).reshape(size)
    usable = [r for r in readings if r.error is None]
    if pre.garbage is not None:
        _mark_garbage(pre, usable, received[len(past) :])
    suppressor = Suppressor(
        work.maintenance, work.off_conditions, (work.asset_id, work.sensor_id), group
    )
    suppresses = bool(suppressor)
    gap_s = None if pre.interval is None else gap_factor * pre.interval
    for reading in usable:
        _step(state, reading, (gap_s, gap_factor), work.now)
        if suppresses or state.off.suppressed:
            _suppress(suppressor, state, reading)
    if pre.counters is not None:
        _count(pre, usable, received[len(past) :], window[-1] if window else None)
    raw = received if pre.conditions is None else _restated(pre.conditions, usable, received)
    if work.state is None:
        _learn_past(pre, state, raw[: len(past)])
    track = WindowIndex(len(past), width)
    for at, reading in enumerate(usable, len(past)):
        _place(pre, state, reading, track, at, raw[at])
    return _assemble(pre, work, readings, (raw, received), len(past), track, state)


def _restated(
    conditions: Conditions, readings: Sequence[PreparedReading], received: Floats
) -> Floats:
    """Return rows (n, d) as in the usual condition; the last are those of the readings."""
    at, off = conditions.place(received)
    first = len(received) - len(readings)
    for reading, place in zip(readings, at[first:].tolist(), strict=True):
        reading.condition = place
    for row, column in np.argwhere(off[first:]).tolist() if off.any() else ():
        readings[row].unfit = [*readings[row].unfit, conditions.indicators[column]]
    return conditions.restated(received, at)


def _learn_past(pre: Preprocessing, state: StreamState, rows: Floats) -> None:
    """Return what a new stream's window (n, d) shows of it."""
    if not pre.baseline:
        if len(rows):
            state.learn_past(rows.clip(*pre.possible))
        return
    for row in rows:
        if not state.settled:
            state.learn_baseline(row, pre)


def _step(
    state: StreamState,
    reading: PreparedReading,
    gap: tuple[float | None, float],
    now: datetime | None,
) -> None:
    """Take a reading's time into the stream's clock."""
    time = reading.point.timestamp
    if time is None:
        raise InputError("timestamp: a reading needs one", code="bad_timestamp", field="timestamp")
    step = reading.step = state.clock.take(time, gap[0], reading.arrived, now, gap[1])
    if step is Step.LATE and state.clock.last is not None:
        reading.behind_s = (state.clock.last - time).total_seconds()
    if step is Step.SET_BACK:
        reading.restarted = CLOCK_AHEAD
        for event in state.events.values():
            event.last = min(event.last, time.timestamp())


def _suppress(suppressor: Suppressor, state: StreamState, reading: PreparedReading) -> None:
    """Note whether a reading's alarms are none, and whether it is the first after such."""
    time, late = reading.point.timestamp, reading.step is Step.LATE
    assert time is not None  # noqa: S101
    if suppressor:
        reading.suppressed = suppressor.take(state.off, time, reading.point.features, late)
    if not late:
        reading.resumed = state.off.suppressed and reading.suppressed is None
        state.off.suppressed = reading.suppressed is not None
        if reading.resumed:
            state.window_ends = False


def _mark_garbage(pre: Preprocessing, readings: Sequence[PreparedReading], raw: Floats) -> None:
    """Note the features of each reading, a row (n, d) of ``raw``, that no sensor measured."""
    assert pre.garbage is not None  # noqa: S101
    found = pre.garbage.mask(raw)
    for row, column in np.argwhere(found).tolist() if found.any() else ():
        name = pre.names[column]
        if name not in readings[row].imputed:
            readings[row].outside = [*readings[row].outside, name]


def _count(
    pre: Preprocessing,
    readings: Sequence[PreparedReading],
    received: Floats,
    before: Reading | None,
) -> None:
    """Read the counters of readings, rows (n, d) of ``received``, by their rates.

    Each rises from the newest reading of the window then, ``before`` at first.
    """
    for reading, row in zip(readings, received, strict=True):
        follows = before if reading.step is Step.NEXT and not reading.resumed else None
        features, excused = _rates(pre, reading.point, follows)
        row[:], reading.imputed = pre.row(features, excused)
        if pre.standing is not None:
            reading.moved = pre.standing.moved(features)
        if not (reading.step is Step.LATE or reading.suppressed is not None or reading.outside):
            before = reading.point


def _rates(
    pre: Preprocessing, point: Reading, before: Reading | None
) -> tuple[dict[str, float], Collection[str]]:
    """Return a reading's features with the counters' rates, and the counters that it has."""
    assert pre.counters is not None  # noqa: S101
    now = pre.measured(point.features)
    last = {} if before is None else pre.measured(before.features)
    passed = pre.interval or 0.0  # as in a window sent without times
    if before is not None and before.timestamp is not None and point.timestamp is not None:
        passed = (point.timestamp - before.timestamp).total_seconds()
    return pre.counters.read(now, last, passed), now.keys() & pre.counters.names


def _place(
    pre: Preprocessing, state: StreamState, reading: PreparedReading, track: WindowIndex, at: int,
    row: Floats,
) -> None:  # fmt: skip
    """Put one reading in its place: late, after a gap, impossible, or plainly next."""
    reading.warm = pre.baseline > 0 and not state.settled
    if reading.step is Step.LATE:
        reading.mark, reading.late = LEFT_OUT, True
        return
    if reading.suppressed is not None:
        reading.mark, reading.gap = LEFT_OUT, reading.step is not Step.NEXT
        reading.windowed = track.take(at, stays=False)
        return
    if reading.step is not Step.NEXT or reading.resumed:
        reading.mark, reading.gap = RESTARTED, True
        track.restart()
    if reading.outside:
        reading.mark = LEFT_OUT
    elif reading.warm:
        state.learn_baseline(row, pre)
    reading.windowed = track.take(at, stays=not reading.outside)


def _assemble(
    pre: Preprocessing,
    work: StreamWork,
    readings: list[PreparedReading],
    values: tuple[Floats, Floats],
    held: int,
    track: WindowIndex,
    state: StreamState,
) -> PreparedStream:
    scaled = pre.scaled(values[0])
    raw, received = (part[held:] for part in values)
    if state.settling.levels:
        stream = PreparedStream(work, readings, scaled, raw, received, None, state, scaled, track)
        return stream.rest(0)
    windows, rows = track.cut(scaled), scaled[held:]
    if pre.baseline and state.settled:
        offset = state.offset(pre)
        own = np.array([not r.warm for r in readings if r.error is None], bool)
        rows = np.where(own[:, None], rows - offset, rows)
        own = np.array([not r.warm for r in readings if r.windowed], bool)
        moved = track.cut(scaled - offset)
        if windows is None or moved is None or own.all():
            windows = moved
        else:
            windows = np.where(own[:, None, None], moved, windows)
    return PreparedStream(work, readings, rows, raw, received, windows, state, scaled, track)


def _past(pre: Preprocessing, window: Sequence[Reading]) -> list[Sequence[float]]:
    """Return the window's rows; a reading that cannot be used cuts off all before it."""
    if pre.counters is None:
        try:
            return pre.picks(map(_FEATURES, window))
        except KeyError:
            pass
    rows: list[Sequence[float]] = []
    for before, point in zip((None, *window), window, strict=False):
        try:
            if pre.counters is None:
                values, _ = pre.row(point.features)
            else:
                values, _ = pre.row(*_rates(pre, point, before if rows else None))
            rows.append(values)
        except InputError:
            rows.clear()
    return rows


def _values(
    pre: Preprocessing, state: StreamState, reading: PreparedReading
) -> Sequence[float] | None:
    """Return one reading's values in order; None, with the error noted, where they are missing."""
    features = reading.point.features
    if pre.nulls:
        features = pre.measured(features)
    if len(features) > len(pre.names) and not state.unknown_features_reported:
        reading.unknown = sorted(features.keys() - pre.known)
        state.unknown_features_reported = bool(reading.unknown)
    if pre.limits:
        reading.outside = pre.outside(features)
    if pre.standing is not None:
        reading.moved = pre.standing.moved(features)
    try:
        return pre.pick(features)
    except KeyError:
        pass
    try:
        values, reading.imputed = pre.row(features)
        return values
    except InputError as error:
        reading.error = error
        reading.mark = LEFT_OUT
        return None
