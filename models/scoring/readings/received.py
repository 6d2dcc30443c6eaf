"""Read the values of one stream's readings, and mark what is odd about them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter

import numpy as np

from errors import InputError, MissingFeatures
from models.arrays import Floats
from models.scoring.features.garbage import named
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.prepared import LEFT_OUT, RESTARTED, PreparedReading
from models.scoring.readings.clock import Step
from models.scoring.stream_state import StreamState
from models.scoring.stream_work import Reading

_FEATURES = attrgetter("features")


def past_rows(
    pre: Preprocessing, window: Sequence[Reading]
) -> tuple[list[Sequence[float]], list[Sequence[str]]]:
    """Return the window's rows and what each lacks; none up to the last unusable reading.

    Missing values are NaN.
    """
    if pre.counters is None:
        try:
            all_of = map(_FEATURES, window)
            whole = pre.picks(map(pre.measured, all_of) if pre.unmeasured else all_of)
            return whole, [()] * len(whole)
        except KeyError:
            pass
    rows: list[Sequence[float]] = []
    lacking: list[Sequence[str]] = []
    for before, reading in zip((None, *window), window, strict=False):
        try:
            features, excused = _rates(pre, reading, before if rows else None)
            lacking.append(pre.absent(features, excused))
            rows.append(pre.given(features))
        except InputError:
            rows.clear()
            lacking.clear()
    return rows, lacking


def values_of(
    pre: Preprocessing, state: StreamState, reading: PreparedReading
) -> Sequence[float] | None:
    """Return one reading's values in order, NaN where one is missing.

    None if more are missing than may be imputed: the reading then has an error.

    Parameters
    ----------
    pre, state
        Of the stream; the state knows whether unknown features were reported.
    reading
        Receives what the values tell.
    """
    sent = reading.received.features
    features = pre.measured(sent) if pre.unmeasured else sent
    if len(features) > len(pre.names):
        _report_unknown(pre, state, reading, features)
    if pre.limits:
        reading.outside = pre.outside(features)
    if pre.standing is not None:
        reading.rare = pre.standing.moved(features)
    try:
        return pre.pick(features)
    except KeyError:
        pass
    try:
        reading.imputed = pre.absent(features)
    except InputError as error:
        values = pre.without_nulls(sent)
        try:
            reading.imputed = pre.absent(values)
        except InputError:
            reading.error = _with_codes(error, sent, features)
            reading.mark = LEFT_OUT
            return None
        # enough was sent: sensors failed, not the sender
        reading.mark_outside(sorted(values.keys() - features.keys()))
        return pre.given(values)
    _report_unknown(pre, state, reading, features)  # a missing one may have another name now
    return pre.given(features)


def _with_codes(
    error: InputError, sent: Mapping[str, float], measured: Mapping[str, float]
) -> InputError:
    """Return the error with the values that were sent and are no measurements, if any."""
    codes = [f"{name} = {named(sent[name])}" for name in sorted(sent.keys() - measured.keys())][:5]
    if not codes:
        return error
    message = f"{error.message} (sent, but no measurement: {', '.join(codes)})"
    return MissingFeatures(message, field=error.field)


def _report_unknown(
    pre: Preprocessing, state: StreamState, reading: PreparedReading, features: Mapping[str, float]
) -> None:
    """Name the features that the set does not know, once per stream."""
    if not state.unknown_features_reported:
        reading.unknown = sorted(features.keys() - pre.known)
        state.unknown_features_reported = bool(reading.unknown)


def mark_repeats(pre: Preprocessing, readings: Sequence[PreparedReading], received: Floats) -> None:
    """Mark values that readings repeat more often than training did.

    Only readings that stay in windows count, so that earlier ones are the same in every batch.

    Parameters
    ----------
    pre
        Preprocessing of the stream's group.
    readings
        Usable readings, the last rows of ``received``.
    received : (n, d)
        Rows of the window and the readings, NaN where a value is missing.
    """
    assert pre.repeats is not None  # noqa: S101
    first = len(received) - len(readings)
    new, begins = _in_windows(readings, first)
    if len(new) < len(readings):
        kept = [True] * first + [reading.mark != LEFT_OUT for reading in readings]
        received = received[kept]
    found = pre.repeats.found(received, begins, first)
    if found is None:
        return
    rarity, lengths = found
    for row, column in np.argwhere(rarity).tolist():
        reading, name = new[row], pre.names[column]
        reading.rare = {**reading.rare, name: float(rarity[row, column])}
        reading.repeated = {**reading.repeated, name: int(lengths[row, column])}


def mark_stays(
    pre: Preprocessing, readings: Sequence[PreparedReading], past: Sequence[Reading]
) -> None:
    """Mark resting features that have been away for longer than in training.

    As in :func:`mark_repeats`, only readings that stay in windows count.

    Parameters
    ----------
    pre
        Preprocessing of the stream's group.
    readings
        Usable readings.
    past
        Readings of the window.
    """
    assert pre.stays is not None  # noqa: S101
    if not any(name in reading.rare for reading in readings for name in pre.stays.names):
        return
    first = len(past)
    new, begins = _in_windows(readings, first)
    every = [pre.measured(one.features) for one in (*past, *(r.received for r in new))]
    for at, name, decades in pre.stays.found(every, begins, first):
        rare = new[at].rare
        new[at].rare = {**rare, name: max(decades, rare.get(name, 0.0))}


def _in_windows(
    readings: Sequence[PreparedReading], first: int
) -> tuple[list[PreparedReading], list[int]]:
    """Return readings that stay in windows, and which of them, from ``first`` on, follow none."""
    new = [reading for reading in readings if reading.mark != LEFT_OUT]
    return new, [first + at for at, reading in enumerate(new) if reading.mark == RESTARTED]


def count_rates(
    pre: Preprocessing,
    readings: Sequence[PreparedReading],
    received: Floats,
    before: Reading | None,
) -> None:
    """Replace counters by their rates since the newest reading of the window at that time.

    Parameters
    ----------
    pre
        Preprocessing of the stream's group.
    readings
        Usable readings.
    received : (n, d)
        Their values, changed in place.
    before
        Newest reading of the window at first.
    """
    for reading, row in zip(readings, received, strict=True):
        follows = None if reading.begins else before
        features, excused = _rates(pre, reading.received, follows)
        if reading.failed:
            features = {n: v for n, v in features.items() if n not in reading.failed}
        row[:], reading.imputed = pre.given(features), pre.absent(features, excused)
        if pre.standing is not None:
            lasting = {n: r for n, r in reading.rare.items() if n in reading.missing}
            reading.rare = {**pre.standing.moved(features), **lasting}
        if reading.step is Step.LATE or reading.suppressed is not None:
            continue
        before = follows if reading.outside else reading.received


def _rates(
    pre: Preprocessing, reading: Reading, before: Reading | None
) -> tuple[Mapping[str, float], Collection[str]]:
    """Return a reading's features with the counters' rates, and the counters that it has."""
    now = pre.measured(reading.features)
    if pre.counters is None:
        return now, ()
    last = {} if before is None else pre.measured(before.features)
    passed = pre.interval or 0.0  # for a window sent without times
    if before is not None and before.timestamp is not None and reading.timestamp is not None:
        passed = (reading.timestamp - before.timestamp).total_seconds()
    return pre.counters.read(now, last, passed), now.keys() & pre.counters.names


def seconds_of(readings: Iterable[Reading]) -> Floats:
    """Return the readings' times (n,) since 1970, NaN where one is not known."""
    times = (reading.timestamp for reading in readings)
    return np.array([math.nan if time is None else time.timestamp() for time in times])
