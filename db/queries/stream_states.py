"""Query the stored states of streams.

A stream's key is ``(asset_id, sensor_id, feature)`` with ``""`` for absent parts; see
:func:`schemas.stream_key`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from db.encoding import dump_json
from schemas import StreamKey


@dataclass(frozen=True, slots=True)
class StoredState:
    """The state that the service returned for a stream, with the stream's position."""

    key: StreamKey
    topic_id: UUID
    partition: int
    state: dict[str, Any]
    last_timestamp: datetime | None
    window_length: int | None
    bundle_version: str | None
    #: time of the oldest reading of the window, or an earlier time; None: not known
    window_start: datetime | None = None


#: The streams of :func:`key_columns`.
KEYS = """
    unnest(CAST(:assets AS text[]), CAST(:sensors AS text[]), CAST(:features AS text[]))
        AS k(asset_id, sensor_id, feature)
"""
_SAME = """
    s.stream_key = stream_key(k.asset_id, k.sensor_id, k.feature)
    AND s.asset_id = k.asset_id AND s.sensor_id = k.sensor_id AND s.feature = k.feature
"""
_STATE = """
    s.asset_id, s.sensor_id, s.feature, s.topic_id, s.partition, s.state, s.last_timestamp,
    s.window_length, s.bundle_version, s.window_start
"""

_LOAD = text(f"""
    SELECT {_STATE} FROM {KEYS}
    JOIN stream_states s ON {_SAME} AND s.topic_id = :topic_id AND s.partition = :partition
""")  # noqa: S608 (constants)

_ELSEWHERE = text(f"""
    SELECT n.* FROM unnest(
        CAST(:assets AS text[]), CAST(:sensors AS text[]), CAST(:features AS text[]),
        CAST(:befores AS timestamptz[])
    ) AS k(asset_id, sensor_id, feature, before)
    CROSS JOIN LATERAL (
        SELECT {_STATE} FROM stream_states s
        WHERE {_SAME} AND s.last_timestamp < k.before
          AND (s.topic_id, s.partition) IS DISTINCT FROM
              (CAST(:topic_id AS uuid), CAST(:partition AS integer))
        ORDER BY s.last_timestamp DESC, s.updated_at DESC LIMIT 1
    ) n
""")  # noqa: S608 (constants)

_NEWEST = text(f"""
    SELECT DISTINCT ON (s.stream_key) {_STATE} FROM {KEYS}
    JOIN stream_states s ON {_SAME}
    ORDER BY s.stream_key, s.last_timestamp DESC NULLS LAST, s.updated_at DESC
""")  # noqa: S608 (constants)

_UNKEYED = text(f"""
    SELECT DISTINCT k.asset_id, k.sensor_id, k.feature FROM unnest(
        CAST(:assets AS text[]), CAST(:sensors AS text[]), CAST(:features AS text[]),
        CAST(:partitions AS integer[]), CAST(:lasts AS timestamptz[])
    ) AS k(asset_id, sensor_id, feature, partition, last)
    JOIN stream_states s ON {_SAME} AND s.topic_id = :topic_id AND s.partition <> k.partition
     AND s.last_timestamp > k.last
""")  # noqa: S608 (constants)

_NEWEST_TIME = text(f"""
    SELECT k.asset_id, k.sensor_id, k.feature, max(s.last_timestamp) AS newest
    FROM {KEYS}
    JOIN stream_states s ON {_SAME} AND s.last_timestamp IS NOT NULL
    GROUP BY k.asset_id, k.sensor_id, k.feature
""")  # noqa: S608 (constants)

_SAVE = text("""
    INSERT INTO stream_states (topic_id, partition, asset_id, sensor_id, feature, state,
                               last_timestamp, window_length, bundle_version, window_start)
    SELECT :topic_id, :partition, * FROM unnest(
        CAST(:assets AS text[]), CAST(:sensors AS text[]), CAST(:features AS text[]),
        CAST(:states AS jsonb[]), CAST(:lasts AS timestamptz[]), CAST(:lengths AS integer[]),
        CAST(:versions AS text[]), CAST(:starts AS timestamptz[])
    )
    ON CONFLICT (topic_id, partition, stream_key) DO UPDATE
    SET state = excluded.state, last_timestamp = excluded.last_timestamp,
        window_length = excluded.window_length, bundle_version = excluded.bundle_version,
        window_start = excluded.window_start, updated_at = now()
""")


def key_columns(keys: Iterable[StreamKey]) -> dict[str, Any]:
    """Return ``assets``, ``sensors``, ``features`` as parameters of queries that unnest them."""
    listed = list(keys)
    return {
        "assets": [key[0] for key in listed],
        "sensors": [key[1] for key in listed],
        "features": [key[2] for key in listed],
    }


def _stored(row: Row[Any]) -> StoredState:
    found = dict(row._mapping)
    key = found.pop("asset_id"), found.pop("sensor_id"), found.pop("feature")
    return StoredState(key, **found)


def load_states(
    connection: Connection, topic_id: UUID, partition: int, keys: Iterable[StreamKey]
) -> dict[StreamKey, StoredState]:
    """Return the stored states of streams in this partition; unknown streams are left out.

    Parameters
    ----------
    connection : Connection
    topic_id : UUID
    partition : int
        Partition of the states.
    keys : iterable of (asset_id, sensor_id, feature)
    """
    values = {**key_columns(keys), "topic_id": topic_id, "partition": partition}
    return {state.key: state for state in map(_stored, connection.execute(_LOAD, values))}


def newest_state_elsewhere(
    connection: Connection, topic_id: UUID, partition: int, before: Mapping[StreamKey, datetime]
) -> dict[StreamKey, StoredState]:
    """Return the newest states in other partitions, for streams that are new to this one.

    Parameters
    ----------
    before : {key: time}
        Only states whose last reading is before this time (that of the present reading).
    """
    values = {
        **key_columns(before),
        "befores": list(before.values()),
        "topic_id": topic_id,
        "partition": partition,
    }
    return {state.key: state for state in map(_stored, connection.execute(_ELSEWHERE, values))}


def unkeyed_streams(
    connection: Connection, topic_id: UUID, seen: Mapping[StreamKey, tuple[int, datetime]]
) -> set[StreamKey]:
    """Return those of these streams that also continue in other partitions of the topic.

    A stream that only moved, because the topic got more partitions, has nothing newer elsewhere.

    Parameters
    ----------
    seen : {key: (partition, last)}
        The present partition of each stream, and its newest known time there.
    """
    values = {
        **key_columns(seen),
        "partitions": [partition for partition, _ in seen.values()],
        "lasts": [last for _, last in seen.values()],
        "topic_id": topic_id,
    }
    rows = connection.execute(_UNKEYED, values)
    return {(row.asset_id, row.sensor_id, row.feature) for row in rows}


def newest_times(connection: Connection, keys: Iterable[StreamKey]) -> dict[StreamKey, datetime]:
    """Return the newest stored time of each stream in any partition."""
    rows = connection.execute(_NEWEST_TIME, key_columns(keys))
    return {(row.asset_id, row.sensor_id, row.feature): row.newest for row in rows}


def newest_states(
    connection: Connection, keys: Iterable[StreamKey]
) -> dict[StreamKey, StoredState]:
    """Return each stream's newest state in any partition, for ``/detect``."""
    rows = connection.execute(_NEWEST, key_columns(keys))
    return {state.key: state for state in map(_stored, rows)}


def save_states(connection: Connection, states: Iterable[StoredState]) -> None:
    """Store states, replacing earlier ones; all must have the same (topic_id, partition)."""
    # All writers use the same order, so that no deadlock occurs.
    ordered = sorted(states, key=lambda state: state.key)
    if not ordered:
        return
    sources = {(state.topic_id, state.partition) for state in ordered}
    if len(sources) > 1:
        raise ValueError(f"states of one partition at a time, not of {len(sources)}")
    topic_id, partition = sources.pop()
    connection.execute(
        _SAVE,
        {
            **key_columns(state.key for state in ordered),
            "topic_id": topic_id,
            "partition": partition,
            "states": [dump_json(state.state) for state in ordered],
            "lasts": [state.last_timestamp for state in ordered],
            "lengths": [state.window_length for state in ordered],
            "versions": [state.bundle_version for state in ordered],
            "starts": [state.window_start for state in ordered],
        },
    )
