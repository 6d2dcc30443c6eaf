"""Query stored offsets, counts and alarm rates, for people and dashboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from db.queries.alarm_load import openings
from db.queries.rows import read_rows
from db.queries.slices import WITHIN, Slice, slices, walk
from db.session import database_now

_OFFSETS = text("SELECT partition, next_offset FROM source_offsets WHERE topic_id = :topic")
_STORED = text(f"""
    SELECT count(*) FROM anomaly_detections WHERE topic_id = :topic AND {WITHIN}
""")  # noqa: S608 (constants)
_ANY_OTHER = text("""
    SELECT 1 FROM anomaly_detections WHERE topic_id IS NOT NULL AND topic_id <> :topic LIMIT 1
""")
_DEAD = text("SELECT count(*) FROM dead_letters WHERE topic_id = :topic")
_ANOMALIES = text(f"""
    SELECT partition, source_offset, asset_id, sensor_id, timestamp, final_score, threshold,
           criticality, asset_criticality, metadata
    FROM anomaly_detections
    WHERE topic_id = :topic AND partition = :partition AND is_anomaly
      AND source_offset >= :start AND source_offset < :end AND {WITHIN}
""")  # noqa: S608 (constants)
_REASONS = text("""
    SELECT reason, count(*) AS n FROM dead_letters WHERE topic_id = :topic
    GROUP BY reason ORDER BY n DESC, reason
""")
_CHANGES = text("""
    SELECT l.id, l.incident_id, l.what, l.occurred_at, i.asset_id, i.sensor_id,
           COALESCE(l.after->>'severity', i.severity) AS severity, i.peak->'features' AS features
    FROM incident_log l JOIN incidents i ON i.id = l.incident_id
    WHERE l.id > :after AND l.what IN ('opened', 'joined', 'resumed', 'escalated', 'cleared')
    ORDER BY l.id
""")
_ALARMS = text(f"""
    SELECT COALESCE(asset_criticality, 'medium') AS name, count(*) AS readings,
           count(*) FILTER (WHERE is_anomaly) AS anomalies
    FROM anomaly_detections
    WHERE {WITHIN} AND topic_id IS NOT NULL
    GROUP BY 1
""")  # noqa: S608 (constants)
_SILENT = text("""
    SELECT count(*) FROM (
        SELECT FROM stream_states GROUP BY stream_key
        HAVING max(updated_at) < now() - make_interval(secs => :silent)
           AND max(updated_at) > now() - make_interval(secs => :silent, days => :days)
    ) AS silent
""")
#: A stream that is silent for longer was taken out of service on purpose.
SILENT_DAYS = 7
#: The default partition is listed separately: its rows belong to no existing partition.
_SIZES = text("""
    SELECT CASE WHEN i.inhparent IS NULL OR c.relname = 'anomaly_detections_default'
                THEN c.relname ELSE 'anomaly_detections' END AS name,
           sum(pg_stat_get_live_tuples(c.oid)) AS rows,
           sum(pg_total_relation_size(c.oid)) AS bytes
    FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE c.relkind = 'r' AND c.relnamespace = (
        SELECT relnamespace FROM pg_class WHERE oid = CAST('anomaly_detections' AS regclass))
      AND (i.inhparent = CAST('anomaly_detections' AS regclass) OR c.relname = ANY(:tables))
    GROUP BY 1
""")
_TABLES = (
    "dead_letters", "stream_states", "outbox", "training_jobs", "training_data", "incidents",
    "incident_events", "incident_log", "feedback", "notifications",
)  # fmt: skip


def stored_offsets(connection: Connection, topic_id: UUID | str) -> dict[int, int | None]:
    """Return the stored offset of each claimed partition; None: none is stored yet."""
    rows = connection.execute(_OFFSETS, {"topic": topic_id})
    return {row.partition: row.next_offset for row in rows}


def has_other_topics(connection: Connection, topic_id: UUID | str) -> bool:
    """Return whether readings of other topics are stored."""
    return connection.execute(_ANY_OTHER, {"topic": topic_id}).first() is not None


def count_rows(connection: Connection, topic_id: UUID | str) -> tuple[int, int]:
    """Count the detections and the dead letters of a topic."""
    stored = sum(
        connection.execute(_STORED, {"topic": topic_id, **part.values()}).scalar_one()
        for part in walk(connection, slices(connection))
    )
    return stored, connection.execute(_DEAD, {"topic": topic_id}).scalar_one()


def anomalies_between(
    connection: Connection, topic_id: UUID | str, partition: int, start: int, end: int
) -> Sequence[Mapping[str, Any]]:
    """Return a partition's anomalies with ``start <= offset < end`` by offset.

    Parameters
    ----------
    topic_id, partition
        Of the source.
    start, end : int
        Offsets of records; ``end`` is excluded.
    """
    values = {"topic": topic_id, "partition": partition, "start": start, "end": end}
    found = [
        row
        for part in walk(connection, slices(connection))
        for row in read_rows(connection, _ANOMALIES, {**values, **part.values()})
    ]
    return sorted(found, key=lambda row: row["source_offset"])


def last_log_entry(connection: Connection) -> int:
    """Return the id of the newest entry of any incident's log; 0 if there is none."""
    newest = connection.execute(text("SELECT max(id) FROM incident_log")).scalar_one()
    return int(newest or 0)


def incident_changes(connection: Connection, after_id: int) -> Sequence[Mapping[str, Any]]:
    """Return the changes of incidents made by the process after a log entry, oldest first."""
    return read_rows(connection, _CHANGES, {"after": after_id})


def dead_letter_reasons(connection: Connection, topic_id: UUID | str) -> dict[str, int]:
    """Count dead letters by reason, the most frequent first."""
    return {row.reason: row.n for row in connection.execute(_REASONS, {"topic": topic_id})}


def recent_alarms(connection: Connection) -> dict[str, tuple[int, int]]:
    """Count readings and anomalies from Kafka in the last hour, per criticality."""
    # The server's clock as a constant, because the planner prunes partitions only by constants.
    since = database_now(connection) - timedelta(hours=1)
    rows = connection.execute(_ALARMS, Slice(since).values())
    return {row.name: (row.readings, row.anomalies) for row in rows}


def silent_streams(connection: Connection, seconds: float) -> int:
    """Count the streams without a reading for so many seconds, but not for `SILENT_DAYS` more."""
    values = {"silent": seconds, "days": SILENT_DAYS}
    return int(connection.execute(_SILENT, values).scalar_one())


def recent_openings(connection: Connection) -> dict[str, int]:
    """Count the incidents opened in the last hour, by severity."""
    now = database_now(connection)
    return openings(connection, now - timedelta(hours=1), now)


def table_sizes(connection: Connection) -> dict[str, tuple[int, int]]:
    """Estimate rows and bytes of each growing table, the default partition separately."""
    found = dict.fromkeys(("anomaly_detections", *_TABLES), (0, 0))
    rows = connection.execute(_SIZES, {"tables": list(_TABLES)})
    return found | {row.name: (int(row.rows), int(row.bytes)) for row in rows}
