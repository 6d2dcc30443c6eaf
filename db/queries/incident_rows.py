"""Lock, read and write incidents, with their log and messages."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from db.encoding import dump_json
from db.incident_lifecycle import COLUMNS, Incident
from db.queries.copy import add_outbox
from db.queries.outbox import INCIDENT_SOURCE
from db.queries.rows import id_list, read_rows
from db.queries.stream_states import KEYS, key_columns
from schemas import StreamKey

#: Locks of streams that may open an incident; so few that a flood needs no more locks.
OPENING_LOCK = 0x616E6F6D
BUCKETS = 128

SHOWN = ", ".join(
    name for name in (*COLUMNS, "state", "created_at", "updated_at") if name != "recent"
)
_NAMES = ", ".join(COLUMNS)
_KNOWN = text("""
    SELECT event_id FROM incident_events WHERE event_id = ANY(CAST(:events AS uuid[]))
""")
_LOCK_STREAMS = text("""
    SELECT pg_advisory_xact_lock(:space, b) FROM unnest(CAST(:buckets AS integer[])) AS b
""")
_LOCK_CONCERNED = text(f"""
    SELECT i.id FROM incidents i WHERE i.id IN (
        SELECT incident_id FROM incident_events WHERE event_id = ANY(CAST(:events AS uuid[]))
        UNION
        SELECT o.id FROM {KEYS}
        JOIN incidents o ON o.stream_key = stream_key(k.asset_id, k.sensor_id, k.feature)
            AND o.cleared_at IS NULL
        UNION
        SELECT n.id FROM {KEYS} CROSS JOIN unnest(CAST(:kinds AS text[])) AS m(kind)
        CROSS JOIN LATERAL (
            SELECT id FROM incidents
            WHERE stream_key = stream_key(k.asset_id, k.sensor_id, k.feature) AND kind = m.kind
            ORDER BY seq DESC LIMIT 1
        ) n
    ) ORDER BY i.id FOR UPDATE
""")  # noqa: S608 (constants)
_LOCK = text("""
    SELECT id FROM incidents WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
""")
# A separate statement, so that it sees what was committed while waiting for the locks.
_READ = text(f"""
    SELECT {_NAMES}, seq, ARRAY(
        SELECT event_id FROM incident_events e
        WHERE e.incident_id = i.id AND e.cleared_at IS NULL
    ) AS open_events
    FROM incidents i WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY seq
""")  # noqa: S608 (constants)
_INSERT = text(f"""
    INSERT INTO incidents ({_NAMES})
    SELECT {_NAMES} FROM jsonb_populate_recordset(NULL::incidents, CAST(:rows AS jsonb))
    RETURNING {SHOWN}
""")  # noqa: S608 (constants)
_OLD = "id", "asset_id", "sensor_id", "feature", "kind", "opened_at", "started_at"
_UPDATE = text(f"""
    UPDATE incidents SET
        {", ".join(f"{name} = r.{name}" for name in COLUMNS if name not in _OLD)},
        seen_at = CASE WHEN incidents.id = ANY(CAST(:touched AS uuid[]))
                       THEN now() ELSE incidents.seen_at END,
        updated_at = now()
    FROM jsonb_populate_recordset(NULL::incidents, CAST(:rows AS jsonb)) r
    WHERE incidents.id = r.id AND incidents.revision = r.revision - 1
    RETURNING {", ".join("incidents." + name for name in SHOWN.split(", "))}
""")  # noqa: S608 (constants)
_EVENTS = text("""
    INSERT INTO incident_events (event_id, incident_id, started_at, cleared_at)
    SELECT event_id, incident_id, started_at, cleared_at
    FROM jsonb_populate_recordset(NULL::incident_events, CAST(:rows AS jsonb))
    ON CONFLICT (event_id) DO UPDATE SET cleared_at = excluded.cleared_at
""")
_LOG = text("""
    INSERT INTO incident_log
        (incident_id, occurred_at, version, who, what, why, before, after, client_token)
    SELECT incident_id, COALESCE(occurred_at, now()), version, who, what, why, before, after,
           client_token
    FROM jsonb_populate_recordset(NULL::incident_log, CAST(:rows AS jsonb))
""")


def lock_concerned(
    connection: Connection,
    streams: Collection[StreamKey],
    events: Collection[UUID],
    kinds: Collection[str],
) -> list[Incident]:
    """Lock the incidents that readings of these events may change, oldest first.

    These are the events' incidents, the streams' open ones, and the newest of each kind.

    Parameters
    ----------
    connection : Connection
    streams : collection of (asset_id, sensor_id, feature)
        Streams of the readings.
    events : collection of UUID
        Events of the readings.
    kinds : collection of str
        Kinds of the events.
    """
    values = {
        **key_columns(streams),
        "events": id_list(events),
        "kinds": list(kinds),
    }
    known = set(connection.execute(_KNOWN, values).scalars())
    if any(event not in known for event in events):
        # Two transactions must not both conclude that a stream has no incident.
        buckets = {zlib.crc32("\x1f".join(key).encode()) % BUCKETS for key in streams}
        locks = {"space": OPENING_LOCK, "buckets": sorted(buckets)}
        connection.execute(_LOCK_STREAMS, locks)
    ids = list(connection.execute(_LOCK_CONCERNED, values).scalars())
    return read_locked(connection, ids)


def event_incidents(connection: Connection, events: Collection[UUID]) -> dict[UUID, UUID]:
    """Return the incident of each event that has one."""
    query = text("""
        SELECT event_id, incident_id FROM incident_events
        WHERE event_id = ANY(CAST(:events AS uuid[]))
    """)
    rows = connection.execute(query, {"events": id_list(events)})
    return {row.event_id: row.incident_id for row in rows}


def lock_incidents(connection: Connection, ids: Collection[UUID]) -> list[Incident]:
    """Lock these incidents; missing ones are left out."""
    found = connection.execute(_LOCK, {"ids": id_list(ids)}).scalars()
    return read_locked(connection, list(found))


def read_locked(connection: Connection, ids: Sequence[UUID]) -> list[Incident]:
    """Read incidents whose locks this transaction holds, oldest first."""
    if not ids:
        return []
    found = connection.execute(_READ, {"ids": id_list(ids)}).mappings()
    return [
        Incident(
            **{name: row[name] for name in COLUMNS},
            open_events=set(row["open_events"]),
        )
        for row in found
    ]


def write(
    connection: Connection, incidents: Iterable[Incident], topic: str = ""
) -> list[dict[str, Any]]:
    """Store changed incidents with their log entries and events; return their present rows.

    Parameters
    ----------
    topic : str
        Topic to which each changed incident is published as a whole; empty: none.

    Raises
    ------
    RuntimeError
        A row has changed since it was read, so it was not locked.
    """
    changed = [one for one in incidents if one.touched or one.log]
    if not changed:
        return []
    new = [one for one in changed if one.revision == 0]
    old = [one for one in changed if one.revision > 0]
    for one in changed:
        one.revision += 1
    rows = []
    if new:
        rows += read_rows(connection, _INSERT, _rows(new))
    if old:
        touched = id_list(one.id for one in old if one.touched)
        rows += read_rows(connection, _UPDATE, {**_rows(old), "touched": touched})
    if len(rows) != len(changed):
        raise RuntimeError("an incident was changed while it was locked")
    events = [
        {"event_id": event, "incident_id": one.id, "started_at": span[0], "cleared_at": span[1]}
        for one in changed
        for event, span in one.events.items()
    ]
    if events:
        connection.execute(_EVENTS, {"rows": dump_json(events)})
    _write_log(connection, changed)
    if topic:
        news = {one.id for one in changed if one.log}
        publish(connection, (row for row in rows if row["id"] in news), topic)
    for one in changed:
        one.log, one.events, one.touched = [], {}, False
    return rows


def _rows(incidents: Sequence[Incident]) -> dict[str, str]:
    return {"rows": dump_json([one.row() for one in incidents])}


def _write_log(connection: Connection, changed: Sequence[Incident]) -> None:
    entries = [asdict(entry) for one in changed for entry in one.log]
    if entries:
        connection.execute(_LOG, {"rows": dump_json(entries)})


def publish(connection: Connection, rows: Iterable[dict[str, Any]], topic: str) -> None:
    """Add messages with these incidents to the outbox, which any bridge publishes.

    Parameters
    ----------
    connection : Connection
    rows : iterable of dict
        The incidents as shown to people.
    topic : str
        The target topic.
    """
    add_outbox(connection, (_message(row["id"], orjson.dumps(row), topic) for row in rows))


def add_tombstones(connection: Connection, ids: Iterable[UUID], topic: str) -> None:
    """Add tombstones to the outbox, so that a compacted topic forgets deleted incidents.

    Parameters
    ----------
    connection : Connection
    ids : iterable of UUID
    topic : str
        The target topic.
    """
    add_outbox(connection, (_message(one, None, topic) for one in ids))


def _message(incident_id: UUID, value: bytes | None, topic: str) -> dict[str, Any]:
    topic_id, partition = INCIDENT_SOURCE
    return {
        "topic_id": topic_id,
        "partition": partition,
        "target_topic": topic,
        "key": str(incident_id).encode(),
        "value": value,
    }
