"""Turn one stream's readings into rows and windows: order, gaps, missing values, baseline.

Earlier readings have an effect only through the stream's state and window. Splitting a batch
differently therefore gives the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Final

import numpy as np

from errors import InputError
from models.arrays import Bools, Floats
from models.scoring.alarms.settling import Settling
from models.scoring.features.conditions import Conditions
from models.scoring.features.level_offsets import LevelOffsets
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.features.zero_rows import ZeroRows
from models.scoring.maintenance.suppression import Suppressor
from models.scoring.prepared import (
    CLOCK_AHEAD,
    LEFT_OUT,
    RESTARTED,
    PreparedReading,
    PreparedStream,
)
from models.scoring.readings.clock import Step
from models.scoring.readings.failed_sensors import blank_garbage, mark_garbage, mark_missing
from models.scoring.readings.received import (
    count_rates,
    mark_repeats,
    mark_stays,
    past_rows,
    seconds_of,
    values_of,
)
from models.scoring.readings.window_index import Pace, WindowIndex
from models.scoring.stream_state import StreamState
from models.scoring.stream_work import Reading, StreamWork

_BRIDGED: Final = 5  # readings in a row that are bridged because they lack values, at most


def prepare(
    pre: Preprocessing,
    width: int,
    state: StreamState,
    work: StreamWork,
    gap_factor: float,
    group: str = "default",
) -> PreparedStream:
    """Bring one stream's readings into the detectors' form.

    Updates ``state``: its clock, its baseline, and whether unknown features were reported.

    Parameters
    ----------
    pre
        Preprocessing of the stream's group.
    width
        Readings in a window; 0 if no detector uses windows.
    state, work
        The stream's state, and its readings with their past.
    gap_factor
        A pause longer than this many sampling intervals is a gap: the stream's own interval, or
        the group's until that is known.
    group
        The stream's group, which suppressions may be limited to.
    """
    window = () if state.window_ends else work.window
    past, lacking = past_rows(pre, window)
    each = work.criticality
    if isinstance(each, str):
        each = [each] * len(work.readings)
    arrived = work.arrived or (None,) * len(work.readings)
    readings = list(map(PreparedReading, work.readings, each, arrived))
    new = (values_of(pre, state, reading) for reading in readings)
    values = past + [row for row in new if row is not None]
    size = (len(values), len(pre.names))
    received = np.fromiter(chain.from_iterable(values), np.float64, size[0] * size[1]).reshape(size)
    usable = [r for r in readings if r.error is None]
    garbage = np.zeros(size, bool) if pre.garbage is None else pre.garbage.mask(received)
    mark_garbage(pre, usable, garbage[len(past) :])
    suppressor = Suppressor(
        work.maintenance, work.off_conditions, (work.asset_id, work.sensor_id), group
    )
    suppresses = bool(suppressor) or pre.zero_rows is not None
    gap_s = None if pre.interval is None else gap_factor * pre.interval
    for reading in usable:
        _step(state, reading, (gap_s, gap_factor), work.now)
        if pre.step is not None:
            reading.interval = state.clock.unlike(pre.step)
        if suppresses or state.off.suppressed:
            _suppress(suppressor, pre.zero_rows, state, reading)
    if pre.missing_runs is not None:
        mark_missing(pre, state, usable, received[len(past) :])
        lacking = blank_garbage(pre, received[: len(past)], garbage[: len(past)], lacking)
    if pre.counters is not None:
        count_rates(pre, usable, received[len(past) :], window[-1] if window else None)
    lacking += [reading.imputed for reading in usable]
    kept = [*window[len(window) - len(past) :], *(reading.received for reading in usable)]
    given, holes = received, None
    if any(lacking):
        holes = np.isnan(given)
        received = pre.imputed(given, seconds_of(kept))
    raw, gain = received, None
    if pre.conditions is not None:
        raw, gain = _restated(pre.conditions, usable, received)
    if pre.seasonality is not None:
        raw = raw - _usual(pre, kept)
    if work.state is None:
        _learn_past(pre, state, raw[: len(past)], lacking[: len(past)])
    track = WindowIndex(width)
    pace = Pace(pre.step, width)
    for at, earlier in enumerate(kept[: len(past)]):
        lost = pace.lost(earlier)
        track.hold(at, lost)
        pace.keep(earlier, lost)
    for at, reading in enumerate(usable, len(past)):
        _classify(pre, state, reading, track, at, raw[at], pace)
    if pre.repeats is not None:
        mark_repeats(pre, usable, given)
    if pre.stays is not None:
        mark_stays(pre, usable, kept[: len(past)])
    return _assemble(pre, work, readings, (raw, received, gain, given), holes, track, state)


def _restated(
    conditions: Conditions, readings: Sequence[PreparedReading], received: Floats
) -> tuple[Floats, Floats]:
    """Restate rows (n, d) for the usual condition; the last of them are those of ``readings``.

    Also returns by what distances from the centre were multiplied (n, d).
    """
    at, off = conditions.nearest(received)
    first = len(received) - len(readings)
    for reading, condition in zip(readings, at[first:].tolist(), strict=True):
        reading.condition = condition
    for row, column in np.argwhere(off[first:]).tolist() if off.any() else ():
        readings[row].unfit = [*readings[row].unfit, conditions.indicators[column]]
    return conditions.restated(received, at), conditions.gain(at)


def _usual(pre: Preprocessing, readings: Sequence[Reading]) -> Floats:
    """Return what is usual (n, d) at the times of readings.

    Those of a window sent without times precede the next reading at the group's interval.
    """
    assert pre.seasonality is not None  # noqa: S101
    seconds = np.empty(len(readings))
    later = 0.0
    for at in range(len(readings) - 1, -1, -1):
        time = readings[at].timestamp
        later = later - (pre.interval or 0.0) if time is None else time.timestamp()
        seconds[at] = later
    return pre.seasonality.offsets(seconds)


def _learn_past(
    pre: Preprocessing, state: StreamState, rows: Floats, lacking: Sequence[Sequence[str]]
) -> None:
    """Learn the baseline or level of a new stream from its window (n, d), and what rows lack."""
    if not pre.baseline:
        if len(rows):
            state.learn_past(rows.clip(*pre.possible))
        return
    for row, absent in zip(rows, lacking, strict=True):
        if not state.settled:
            state.learn_baseline(row, pre, absent)


def _step(
    state: StreamState,
    reading: PreparedReading,
    gap: tuple[float | None, float],
    now: datetime | None,
) -> None:
    """Advance the stream's clock to a reading's time."""
    time = reading.received.timestamp
    if time is None:
        raise InputError("timestamp: a reading needs one", code="bad_timestamp", field="timestamp")
    step = reading.step = state.clock.take(time, gap[0], reading.arrived, now, gap[1])
    if step is Step.LATE and state.clock.last is not None:
        reading.behind_s = (state.clock.last - time).total_seconds()
    if step is Step.SET_BACK:
        reading.restarted = CLOCK_AHEAD


def _suppress(
    suppressor: Suppressor,
    zero_rows: ZeroRows | None,
    state: StreamState,
    reading: PreparedReading,
) -> None:
    """Mark whether a reading is suppressed, and whether it is the first after suppressed ones."""
    time, late = reading.received.timestamp, reading.step is Step.LATE
    assert time is not None  # noqa: S101
    if suppressor:
        reading.suppressed = suppressor.take(state.off, time, reading.received.features, late)
    if zero_rows is not None:
        if reading.step in (Step.GAP, Step.SET_BACK):
            state.off.zeros_since = None  # nothing is known of the pause
        zeros = zero_rows.take(state.off, time, reading.received.features, late)
        reading.zeros = zeros is not None
        reading.suppressed = reading.suppressed or zeros
    if not late:
        reading.resumed = state.off.suppressed and reading.suppressed is None
        state.off.suppressed = reading.suppressed is not None


def _classify(
    pre: Preprocessing, state: StreamState, reading: PreparedReading, track: WindowIndex, at: int,
    row: Floats, pace: Pace,
) -> None:  # fmt: skip
    """Classify one reading (late, suppressed, after a gap, impossible, or in order) for windows."""
    reading.warm = pre.baseline > 0 and not state.settled
    if reading.step is Step.LATE:
        reading.mark, reading.late = LEFT_OUT, True
        return
    if reading.suppressed is not None:
        reading.mark, reading.gap = LEFT_OUT, reading.step is not Step.NEXT
        reading.windowed = track.take(at, stays=False)
        return
    lost = pace.lost(reading.received)
    if reading.begins or state.window_ends:
        reading.mark, reading.gap = RESTARTED, reading.begins
        track.restart()
        pace.restart()
        lost = 0
        state.window_ends = bool(reading.outside)  # garbage begins no window: the next one does
    elif reading.imputed and lost < _BRIDGED and _just_missing(pre, reading, pace):
        reading.mark, reading.aside = LEFT_OUT, True
        return
    if reading.outside:
        reading.mark = LEFT_OUT
    elif reading.warm:
        state.learn_baseline(row, pre, reading.imputed)
    reading.windowed = track.take(at, stays=not reading.outside, lost=lost)
    if not reading.outside:
        pace.keep(reading.received, lost)


def _just_missing(pre: Preprocessing, reading: PreparedReading, pace: Pace) -> bool:
    """Return whether a reading lacks features that the one before has, at a regular interval.

    Its neighbours in time then tell more about it than its other features, so its place in windows
    is bridged. Not so where similar readings of training tell what is missing, and not so with
    counters: their rates start from the newest reading of the window.
    """
    if pre.counters or pre.by_neighbours(reading.imputed):
        return False
    if pace.newest is None or not pace.regular():
        return False
    # what a failed sensor sends has long been missing, though the reading before had it, too
    lacking = set(reading.imputed) - set(reading.failed)
    return bool(lacking) and lacking <= pre.measured(pace.newest.features).keys()


def _assemble(
    pre: Preprocessing,
    work: StreamWork,
    readings: list[PreparedReading],
    values: tuple[Floats, Floats, Floats | None, Floats],
    holes: Bools | None,
    track: WindowIndex,
    state: StreamState,
) -> PreparedStream:
    """Return the stream's rows and windows.

    Parameters
    ----------
    pre, work, readings
        As for :func:`prepare`.
    values : four of (n, d)
        Rows of the window and the usable readings: as scales describe them, as received, the
        factors by which distances differ between these (None: they do not), and as received before
        anything was imputed.
    holes : (n, d)
        Which values are imputed; None: none is.
    track
        Which rows the windows are of.
    state
        The stream's state.
    """
    rows, received, gain, given = values
    scaled = pre.scaled(rows)
    held = len(scaled) - sum(reading.error is None for reading in readings)
    offsets = LevelOffsets(pre.mix, gain)
    refill = partial(_refilled, pre, rows, given, offsets)
    stream = PreparedStream(
        work, readings, scaled[held:], rows[held:], received[held:], None, state, scaled, track,
        offsets=offsets, refill=refill,
    )  # fmt: skip
    if state.settling.levels:
        return stream.rest(0)
    stream.windows = track.cut(scaled)
    if pre.baseline and state.settled:
        around = rows
        if holes is not None:
            around = pre.filled(rows, holes, np.broadcast_to(state.baseline, rows.shape))
        relative = pre.scaled(around) - state.offset(pre)
        own = np.array([not r.warm for r in readings if r.error is None], bool)
        stream.rows = np.where(own[:, None], relative[held:], stream.rows)
        stream.raw = np.where(own[:, None], around[held:], stream.raw)
        own = np.array([not r.warm for r in readings if r.windowed], bool)
        moved = track.cut(relative)
        if stream.windows is None or moved is None or own.all():
            stream.windows = moved
        else:
            stream.windows = np.where(own[:, None, None], moved, stream.windows)
    return stream


def _refilled(
    pre: Preprocessing, rows: Floats, given: Floats, offsets: LevelOffsets, settling: Settling
) -> tuple[Floats, Floats]:
    """Impute what rows lack from deviations from the newest level; return them and scaled.

    The value of a sensor that is stuck for good is missing, too: it tells nothing of the machine.

    Parameters
    ----------
    pre
        Preprocessing of the stream's group.
    rows : (n, d)
        Readings as scales describe them, in own units, imputed from the level of training.
    given : (n, d)
        As received, NaN where a value is missing.
    offsets
        Gives the level at each row.
    settling
        The stream's settled levels.
    """
    stuck, level = _stuck(pre, given, settling), settling.newest
    holes = np.isnan(given) | stuck
    if stuck.any() or (level is not None and holes.any()):
        at = pre.center if level is None else pre.values(offsets.of(level))
        rows = pre.filled(rows, holes, np.broadcast_to(at, rows.shape))
    return rows, pre.scaled(rows)


def _stuck(pre: Preprocessing, given: Floats, settling: Settling) -> Bools:
    """Return which values (n, d) as received are those at which sensors are stuck for good."""
    out = np.zeros(given.shape, bool)
    for level in settling.levels:
        for column, name in enumerate(pre.names):
            low, high = level.stands.get(pre.numbers[name], (0.0, -1.0))
            if low == high:
                out[:, column] |= given[:, column] == low
    return out
