"""Apply timed changes to incidents: silence clears, shelving ends, settled ones are closed.

Any number of processes may call :func:`keep_time`; one at a time does the work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from config import Settings
from db.incident_lifecycle import SYSTEM, UNSHELVED, Incident
from db.queries.incident_rows import add_tombstones, read_locked, write
from db.queries.rows import id_list
from db.session import database_now, try_lock

#: Only one process at a time changes incidents by the clock.
TIME_LOCK = 0x616E6F6D_0007
#: Incidents changed in one transaction, few enough that nobody waits long for their locks.
CHUNK = 500

_DUE = {
    "cleared": "cleared_at IS NULL AND seen_at < now() - make_interval(secs => :silence_s)",
    "unshelved": "shelved_until <= now()",
    "closed": "state = 'cleared-acknowledged'"
    " AND updated_at < now() - make_interval(secs => :close_after_s)",
}
_LOCK = {
    what: text(f"""
        SELECT id FROM incidents WHERE {due} ORDER BY id LIMIT {CHUNK} FOR UPDATE SKIP LOCKED
    """)  # noqa: S608 (constants)
    for what, due in _DUE.items()
}
_EXPIRED = text(f"""
    SELECT id FROM incidents WHERE cleared_at IS NOT NULL AND updated_at < :before
    ORDER BY id LIMIT {CHUNK} FOR UPDATE SKIP LOCKED
""")  # noqa: S608 (constants)


def keep_time(connection: Connection, settings: Settings) -> Counter[str] | None:
    """Apply the due changes, a chunk of each kind; return the number of each.

    None: another process is doing it. Silence is measured from when readings were stored, not from
    their own time, so that history that is sent again does not count as silent.
    """
    if not try_lock(connection, TIME_LOCK):
        return None
    now = database_now(connection)
    silence_s = settings.event_silence_s
    values = {"silence_s": silence_s, "close_after_s": settings.incident_close_after_s}
    changes: dict[str, Callable[[Incident], object]] = {
        "cleared": lambda one: _clear(one, silence_s),
        "unshelved": _unshelve,
        "closed": lambda one: one.change("closed", SYSTEM, closed_at=now, closed_by=SYSTEM),
    }
    done: Counter[str] = Counter()
    for what, change in changes.items():
        ids = list(connection.execute(_LOCK[what], values).scalars())
        found = read_locked(connection, ids)
        for incident in found:
            change(incident)
        write(connection, found, settings.kafka_topic_incidents)
        done[what] = len(found)
    return done


def _clear(incident: Incident, silence_s: float) -> None:
    at = incident.last_activity_at + timedelta(seconds=silence_s)
    for event in list(incident.open_events):
        incident.end_event(event, at, "silence")
    if incident.cleared_at is None:
        incident.clear(at, "silence")


def _unshelve(incident: Incident) -> None:
    incident.change("unshelved", SYSTEM, why="its time is up", **UNSHELVED)


def drop_incidents(connection: Connection, before: datetime, topic: str = "") -> int:
    """Delete a chunk of incidents that are over and have not changed since, with their log.

    Published incidents are followed by tombstones.

    Parameters
    ----------
    connection : Connection
    before : datetime
        By the server's clock.
    topic : str
        Topic of the tombstones; empty: none.
    """
    ids: list[UUID] = list(connection.execute(_EXPIRED, {"before": before}).scalars())
    if ids:
        allow_rewriting(connection)
        delete = text("DELETE FROM incidents WHERE id = ANY(CAST(:ids AS uuid[]))")
        connection.execute(delete, {"ids": id_list(ids)})
        if topic:
            add_tombstones(connection, ids, topic)
    return len(ids)


def allow_rewriting(connection: Connection) -> None:
    """Allow this transaction to change the log, which is otherwise append-only."""
    connection.execute(text("SET LOCAL anomalies.rewrite_log = 'on'"))
