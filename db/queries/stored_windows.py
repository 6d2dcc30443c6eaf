"""Rebuild windows from stored readings, and find exact duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from db.queries.rows import as_floats
from db.queries.slices import WITHIN, Slice, after, slices, walk
from db.queries.stream_states import StoredState, key_columns
from schemas import StreamKey

#: One past reading of a window: its time and its features as received.
Reading = tuple[datetime, dict[str, float]]

# LATERAL with LIMIT makes the planner use one index probe per stream, regardless of statistics.
_WINDOW = text(f"""
    SELECT k.n, d.timestamp, d.features, d.window_mark FROM unnest(
        CAST(:topics AS uuid[]), CAST(:partitions AS integer[]), CAST(:assets AS text[]),
        CAST(:sensors AS text[]), CAST(:features AS text[]), CAST(:limits AS integer[])
    ) WITH ORDINALITY AS k(topic_id, partition, asset_id, sensor_id, feature, most, n)
    CROSS JOIN LATERAL (
        SELECT a.timestamp, a.features, a.window_mark, a.source_offset
        FROM anomaly_detections a
        WHERE a.topic_id = k.topic_id AND a.partition = k.partition
          AND a.stream_id = stream_key(k.asset_id, k.sensor_id, NULL)
          AND COALESCE(a.feature, '') = k.feature
          AND a.window_mark IN ('added', 'restarted')
          AND a.asset_id = k.asset_id AND COALESCE(a.sensor_id, '') = k.sensor_id
          AND {WITHIN}
        ORDER BY a.source_offset DESC LIMIT k.most
    ) d
    ORDER BY k.n, d.source_offset DESC
""")  # noqa: S608 (constants)

_DUPLICATES = text(f"""
    SELECT k.n, d.id, d.features FROM unnest(
        CAST(:assets AS text[]), CAST(:sensors AS text[]), CAST(:features AS text[]),
        CAST(:times AS timestamptz[])
    ) WITH ORDINALITY AS k(asset_id, sensor_id, feature, at, n)
    CROSS JOIN LATERAL (
        SELECT a.id, a.features FROM anomaly_detections a
        WHERE a.stream_id = stream_key(k.asset_id, k.sensor_id, NULL) AND a.timestamp = k.at
          AND a.asset_id = k.asset_id AND COALESCE(a.sensor_id, '') = k.sensor_id
          AND COALESCE(a.feature, '') = k.feature AND a.topic_id IS NOT NULL
          AND {WITHIN}
        ORDER BY a.id LIMIT 100
    ) d
    ORDER BY k.n, d.id
""")  # noqa: S608 (constants)


_EVENT_PEAK = text(f"""
    SELECT criticality FROM anomaly_detections
    WHERE stream_id = stream_key(:asset_id, :sensor_id, NULL) AND event_id = :event_id
      AND {WITHIN} AND is_anomaly
    GROUP BY criticality
""")  # noqa: S608 (constants)


def event_criticalities(
    connection: Connection, key: StreamKey, event_id: str, since: datetime
) -> set[str]:
    """Return the criticalities of an event's stored anomalies.

    Parameters
    ----------
    connection : Connection
    key : (asset_id, sensor_id, feature)
        The stream.
    event_id : str
    since : datetime
        Start of the event.
    """
    values = {"asset_id": key[0], "sensor_id": key[1] or None, "event_id": event_id}
    found: set[str] = set()
    for part in walk(connection, slices(connection, since)):
        found |= set(connection.execute(_EVENT_PEAK, {**values, **part.values()}).scalars())
    return found


def stored_windows(
    connection: Connection, states: Mapping[StreamKey, StoredState]
) -> dict[StreamKey, list[Reading]]:
    """Rebuild the windows of these states from the stored readings.

    Parameters
    ----------
    states : {key: state}
        Give each stream's partition, window length, and times of the oldest and newest reading.

    Returns
    -------
    {key: [(timestamp, features), ...]}
        Oldest first, back to the last restart; readings marked ``left_out`` are excluded.
    """
    growing = {key: _Growing(state) for key, state in states.items()}
    open_ = [one for one in growing.values() if one.wanted > 0]
    span = _span(open_)
    for part in walk(connection, slices(connection, *span) if open_ else []):
        here = [one for one in open_ if one.wanted > 0 and part.overlaps(one.start, one.end)]
        if here:
            _look_back(connection, part.narrowed(*_span(here)), here)
    return {key: one.readings[::-1] for key, one in growing.items()}


class _Growing:
    """One window while it is read backwards: ``readings`` newest first, ``wanted`` more needed."""

    def __init__(self, state: StoredState) -> None:
        self.state = state
        self.readings: list[Reading] = []
        self.wanted = state.window_length or 0
        self.start = state.window_start
        self.end = after(state.last_timestamp)

    def take(self, row: Row[Any]) -> None:
        if self.wanted <= 0:
            return
        self.readings.append((row.timestamp, as_floats(row.features)))
        self.wanted = 0 if row.window_mark == "restarted" else self.wanted - 1


def _span(windows: Sequence[_Growing]) -> tuple[datetime | None, datetime | None]:
    """Return the earliest start and latest end; None if any window is unbounded."""
    starts = [one.start for one in windows if one.start is not None]
    ends = [one.end for one in windows if one.end is not None]
    return (
        min(starts) if starts and len(starts) == len(windows) else None,
        max(ends) if ends and len(ends) == len(windows) else None,
    )


def _look_back(connection: Connection, part: Slice, windows: Sequence[_Growing]) -> None:
    values = {
        **key_columns(one.state.key for one in windows),
        "topics": [str(one.state.topic_id) for one in windows],
        "partitions": [one.state.partition for one in windows],
        "limits": [one.wanted for one in windows],
        **part.values(),
    }
    for row in connection.execute(_WINDOW, values):
        windows[row.n - 1].take(row)


def find_duplicates(
    connection: Connection, candidates: Sequence[tuple[StreamKey, datetime]]
) -> dict[int, list[tuple[UUID, dict[str, float]]]]:
    """Return stored readings of the same stream and time, from any partition.

    Rows from REST are excluded: a mere query must not make the bridge drop a record.

    Parameters
    ----------
    candidates : sequence of (key, timestamp)

    Returns
    -------
    {index into candidates: [(id, features), ...]}
        Only candidates with at least one. An id equal to the record's own means that this record
        is already stored.
    """
    if not candidates:
        return {}
    found: dict[int, list[tuple[UUID, dict[str, float]]]] = {}
    times = [at for _, at in candidates]
    for part in walk(connection, slices(connection, min(times), after(max(times)))):
        here = [i for i, at in enumerate(times) if part.overlaps(at, after(at))]
        if not here:
            continue
        newest = max(times[i] for i in here)
        inside = part.narrowed(min(times[i] for i in here), after(newest))
        values = {
            **key_columns(candidates[i][0] for i in here),
            "times": [times[i] for i in here],
            **inside.values(),
        }
        for row in connection.execute(_DUPLICATES, values):
            found.setdefault(here[row.n - 1], []).append((row.id, as_floats(row.features)))
    return found
