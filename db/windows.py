"""Stored readings of streams: windows rebuilt from them, and exact duplicates found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from db.states import StoredState, StreamKey, key_columns, newest_states

#: One past reading of a window: when, and its features as received.
Reading = tuple[datetime, dict[str, float]]

# A LATERAL with LIMIT keeps the planner at one index probe a stream, whatever its statistics say.
_WINDOW = text("""
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
        ORDER BY a.source_offset DESC LIMIT k.most
    ) d
    ORDER BY k.n, d.source_offset DESC
""")

_DUPLICATES = text("""
    SELECT k.n, d.id, d.features FROM unnest(
        CAST(:assets AS text[]), CAST(:sensors AS text[]), CAST(:features AS text[]),
        CAST(:times AS timestamptz[])
    ) WITH ORDINALITY AS k(asset_id, sensor_id, feature, at, n)
    CROSS JOIN LATERAL (
        SELECT a.id, a.features FROM anomaly_detections a
        WHERE a.stream_id = stream_key(k.asset_id, k.sensor_id, NULL) AND a.timestamp = k.at
          AND a.asset_id = k.asset_id AND COALESCE(a.sensor_id, '') = k.sensor_id
          AND COALESCE(a.feature, '') = k.feature AND a.topic_id IS NOT NULL
        ORDER BY a.id LIMIT 100
    ) d
    ORDER BY k.n, d.id
""")


_EVENT_PEAK = text("""
    SELECT criticality FROM anomaly_detections
    WHERE stream_id = stream_key(:asset_id, :sensor_id, NULL) AND event_id = :event_id
      AND timestamp >= :since AND is_anomaly
    GROUP BY criticality
""")


def event_criticalities(
    connection: Connection, key: StreamKey, event_id: str, since: datetime
) -> set[str]:
    """Criticalities that an event's stored anomalies have had since it started."""
    values = {
        "asset_id": key[0],
        "sensor_id": key[1] or None,
        "event_id": event_id,
        "since": since,
    }
    return set(connection.execute(_EVENT_PEAK, values).scalars())


def stored_window(
    connection: Connection, topic_id: UUID, partition: int, limits: Mapping[StreamKey, int]
) -> dict[StreamKey, list[Reading]]:
    """The windows of these streams, rebuilt from stored readings of this partition.

    Parameters
    ----------
    limits : {key: most}
        How many past readings each stream's window holds at most.

    Returns
    -------
    {key: [(timestamp, features), ...]}
        Oldest first, back to the last restart; readings left out of the window are not there.
    """
    return windows(connection, {key: (topic_id, partition, most) for key, most in limits.items()})


def windows(
    connection: Connection, wanted: Mapping[StreamKey, tuple[UUID, int, int]]
) -> dict[StreamKey, list[Reading]]:
    """As :func:`stored_window`, each stream's ``(topic_id, partition, limit)`` its own."""
    found: dict[StreamKey, list[Reading]] = {key: [] for key in wanted}
    if not wanted:
        return found
    keys = list(wanted)
    values = {
        **key_columns(keys),
        "topics": [str(source[0]) for source in wanted.values()],
        "partitions": [source[1] for source in wanted.values()],
        "limits": [source[2] for source in wanted.values()],
    }
    restarted: set[int] = set()
    for row in connection.execute(_WINDOW, values):
        if row.n in restarted:
            continue
        found[keys[row.n - 1]].append(
            (row.timestamp, {name: float(value) for name, value in row.features.items()})
        )
        if row.window_mark == "restarted":
            restarted.add(row.n)
    for readings in found.values():
        readings.reverse()
    return found


def find_duplicates(
    connection: Connection, candidates: Sequence[tuple[StreamKey, datetime]]
) -> dict[int, list[tuple[UUID, dict[str, float]]]]:
    """Stored readings of the same stream and time, from any partition, for comparison.

    Rows from REST do not count: nothing that only asked may make the bridge drop a record.

    Parameters
    ----------
    candidates : sequence of (key, timestamp)

    Returns
    -------
    {index into candidates: [(id, features), ...]}
        Only candidates with at least one. An id equal to the record's own means that this very
        record is stored already.
    """
    if not candidates:
        return {}
    values = {
        **key_columns(key for key, _ in candidates),
        "times": [at for _, at in candidates],
    }
    found: dict[int, list[tuple[UUID, dict[str, float]]]] = {}
    for row in connection.execute(_DUPLICATES, values):
        features = {name: float(value) for name, value in row.features.items()}
        found.setdefault(row.n - 1, []).append((row.id, features))
    return found


def stream_contexts(
    connection: Connection, keys: Sequence[StreamKey], window_length: int
) -> dict[StreamKey, tuple[StoredState, list[Reading]]]:
    """What ``/detect`` needs of stored streams: newest state, and the window that goes with it.

    Parameters
    ----------
    keys : sequence of StreamKey
    window_length : int
        Taken where the state does not say how long its window is.

    Returns
    -------
    {key: (state, readings oldest first)}
        Streams that were never stored are absent.
    """
    states = newest_states(connection, keys)
    found = windows(
        connection,
        {
            key: (
                state.topic_id,
                state.partition,
                window_length if state.window_length is None else state.window_length,
            )
            for key, state in states.items()
        },
    )
    return {key: (state, found[key]) for key, state in states.items()}
