"""Query changes of incidents that receivers wait for; a trigger adds them, senders settle them.

A receiver gets the incident as it was after the change: the present row, with the log's earlier
values of all later changes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from db.incident_tables import STATE_EXPRESSION
from db.queries.incident_rows import SHOWN
from db.queries.rows import id_list, read_rows

#: Held by the leading sender.
SENDER_LOCK = 0x616E6F6D_0009
#: Maximum number of incidents for a receiver that gets all standing ones.
MAX_STANDING = 10_000

_NOT_PAST = "state", "version"
_PAST = ", ".join(name for name in SHOWN.split(", ") if name not in _NOT_PAST)
_CHANGES = f"""
    SELECT n.log_id, n.tries, l.what, l.who, l.why, l.at, l.occurred_at, l.before,
           i.state AS state_now, i.severity AS severity_now, past.*
    FROM noted n
    JOIN incident_log l ON l.id = n.log_id
    JOIN incidents i ON i.id = l.incident_id
    CROSS JOIN LATERAL (
        SELECT {_PAST}, l.version AS version, {STATE_EXPRESSION} AS state
        FROM jsonb_populate_record(i, COALESCE((
            SELECT jsonb_object_agg(undo.key, undo.value ORDER BY later.id DESC)
            FROM incident_log later CROSS JOIN LATERAL jsonb_each(later.before) undo
            WHERE later.incident_id = l.incident_id AND later.id > l.id
        ), '{{}}'))
    ) past
    ORDER BY n.log_id
"""  # noqa: S608 (constants)
_DUE = text(f"""
    WITH noted AS MATERIALIZED (
        SELECT log_id, tries FROM notifications
        WHERE receiver = :receiver AND settled_at IS NULL AND incident_id IN (
            SELECT incident_id FROM notifications
            WHERE receiver = :receiver AND settled_at IS NULL AND due_at <= now()
        )
        ORDER BY log_id LIMIT :limit
    )
    {_CHANGES}
""")  # noqa: S608 (constants)
_RECENT = text(f"""
    WITH noted AS MATERIALIZED (
        SELECT log_id, tries FROM notifications
        WHERE receiver = :receiver AND outcome = 'sent'
          AND settled_at > now() - make_interval(secs => :seconds)
    )
    {_CHANGES}
""")  # noqa: S608 (constants)
_STANDING = text(f"""
    SELECT {SHOWN} FROM incidents WHERE state IN ('open-unacknowledged', 'open-acknowledged')
    ORDER BY last_activity_at DESC LIMIT {MAX_STANDING}
""")  # noqa: S608 (constants)
_OF_INCIDENTS = """
    receiver = :receiver AND settled_at IS NULL AND incident_id = ANY(CAST(:incidents AS uuid[]))
"""
_OF_CHANGES = "receiver = :receiver AND log_id = ANY(CAST(:log_ids AS bigint[]))"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log, and the incident after it, as in its topic.

    ``state_now`` and ``severity_now`` are the present ones; ``log_id`` is 0 without a log entry.
    """

    log_id: int
    what: str
    who: str
    why: str | None
    at: datetime
    before: dict[str, Any]
    incident: dict[str, Any]
    state_now: str
    severity_now: str
    tries: int = 0
    occurred_at: datetime | None = None


def register(connection: Connection, names: Collection[str]) -> None:
    """Queue changes for these receivers from now on, and for no others.

    Stored problems are cleared and waiting changes become due, because the routes may be new.
    """
    given = {"names": sorted(names)}
    connection.execute(
        text("""
            INSERT INTO notify_receivers (name) SELECT unnest(CAST(:names AS text[]))
            ON CONFLICT (name) DO UPDATE SET seen_at = now(), problem = NULL
        """),
        given,
    )
    others = text("DELETE FROM notify_receivers WHERE name <> ALL(CAST(:names AS text[]))")
    connection.execute(others, given)
    waits = "UPDATE notifications SET due_at = now() WHERE settled_at IS NULL AND due_at > now()"
    connection.execute(text(waits))


def due_changes(connection: Connection, receiver: str, limit: int) -> list[Change]:
    """Return the changes that are due for a receiver, in order.

    A due change brings the other changes of its incident along, because they are sent in order.

    Parameters
    ----------
    connection : Connection
    receiver : str
    limit : int
        Maximum number of changes.
    """
    values = {"receiver": receiver, "limit": limit}
    return [_change(row) for row in connection.execute(_DUE, values).mappings()]


def recent_changes(connection: Connection, receiver: str, seconds: float) -> list[Change]:
    """Return the changes that a receiver was sent in the last ``seconds``.

    Parameters
    ----------
    connection : Connection
    receiver : str
    seconds : float
        Counted back from now, by the server's clock.
    """
    values = {"receiver": receiver, "seconds": seconds}
    return [_change(row) for row in connection.execute(_RECENT, values).mappings()]


def standing_incidents(connection: Connection) -> list[Change]:
    """Return the open incidents that are neither shelved nor suppressed, as changes."""
    rows = read_rows(connection, _STANDING)
    return [
        Change(0, "opened", "system", None, row["updated_at"], {}, row, row["state"],
               row["severity"])
        for row in rows
    ]  # fmt: skip


def _change(row: Any) -> Change:
    incident = {name: row[name] for name in SHOWN.split(", ")}
    own = "log_id", "what", "who", "why", "at", "before", "state_now", "severity_now", "tries"
    return Change(incident=incident, occurred_at=row["occurred_at"], **{n: row[n] for n in own})


def settle(connection: Connection, receiver: str, log_ids: Sequence[int], outcome: str) -> None:
    """Record that these changes were ``sent`` to a receiver, or had another outcome.

    Parameters
    ----------
    connection : Connection
    receiver : str
    log_ids : sequence of int
        Ids of the changes.
    outcome : str
        ``sent``, or another word for people.
    """
    query = text(f"""
        UPDATE notifications SET settled_at = now(), outcome = :outcome, error = NULL
        WHERE {_OF_CHANGES} AND settled_at IS NULL
    """)  # noqa: S608 (constants)
    connection.execute(query, {"receiver": receiver, "log_ids": log_ids, "outcome": outcome})


def discard(connection: Connection, receiver: str, log_ids: Sequence[int]) -> None:
    """Delete changes that no route sends to this receiver.

    Parameters
    ----------
    connection : Connection
    receiver : str
    log_ids : sequence of int
        Ids of the changes.
    """
    query = text(f"DELETE FROM notifications WHERE {_OF_CHANGES}")  # noqa: S608 (constants)
    connection.execute(query, {"receiver": receiver, "log_ids": log_ids})


def hold(connection: Connection, receiver: str, incident: UUID, until: datetime) -> None:
    """Let the waiting changes of an incident wait until a time.

    Parameters
    ----------
    connection : Connection
    receiver : str
    incident : UUID
        The incident of the changes.
    until : datetime
        Aware.
    """
    query = text(f"UPDATE notifications SET due_at = :until WHERE {_OF_INCIDENTS}")  # noqa: S608
    values = {"receiver": receiver, "incidents": [str(incident)], "until": until}
    connection.execute(query, values)


def postpone(
    connection: Connection, receiver: str, incidents: Collection[UUID], seconds: float, error: str
) -> None:
    """Record a failure: the changes of these incidents wait ``seconds`` more.

    Parameters
    ----------
    receiver : str
        The receiver that failed.
    incidents : collection of UUID
        The incidents of the changes.
    seconds : float
        From now until the retry.
    error : str
        Stored for people.
    """
    query = text(f"""
        UPDATE notifications
        SET due_at = now() + make_interval(secs => :seconds), tries = tries + 1, error = :error
        WHERE {_OF_INCIDENTS}
    """)  # noqa: S608 (constants)
    values = {"incidents": id_list(incidents), "seconds": seconds, "error": error}
    connection.execute(query, {"receiver": receiver, **values})


def renew_receiver(connection: Connection, receiver: str, days: float) -> int:
    """Record that a receiver is still configured; expire its oldest changes, return how many.

    Parameters
    ----------
    connection : Connection
    receiver : str
    days : float
        Changes that have waited longer are given up.
    """
    known = text("""
        UPDATE notify_receivers SET seen_at = now()
        WHERE name = :receiver AND seen_at < now() - interval '1 hour'
    """)
    connection.execute(known, {"receiver": receiver})
    query = text("""
        UPDATE notifications SET settled_at = now(), outcome = 'expired'
        WHERE receiver = :receiver AND settled_at IS NULL
          AND created_at < now() - make_interval(secs => 86400.0 * :days)
    """)
    return connection.execute(query, {"receiver": receiver, "days": days}).rowcount


def set_problem(connection: Connection, receiver: str, problem: str | None) -> None:
    """Store why a receiver cannot be reached; None: it can.

    Parameters
    ----------
    connection : Connection
    receiver : str
    problem : str or None
        For people.
    """
    query = text("UPDATE notify_receivers SET problem = :problem WHERE name = :receiver")
    connection.execute(query, {"receiver": receiver, "problem": problem})


def waiting(connection: Connection) -> dict[str, Row[Any]]:
    """Return per receiver the number of waiting ``changes``, since when, and why.

    Changes held by quiet hours do not count. ``error`` is the last error of any waiting change.
    """
    query = text("""
        SELECT r.name, count(n.log_id) AS changes, r.problem,
               CAST(COALESCE(extract(epoch FROM now() - min(n.created_at)), 0) AS float)
                   AS oldest_s,
               (array_agg(n.error ORDER BY n.log_id DESC) FILTER (WHERE n.error IS NOT NULL))[1]
                   AS error
        FROM notify_receivers r
        LEFT JOIN notifications n ON n.receiver = r.name AND n.settled_at IS NULL
            AND (n.due_at <= now() OR n.tries > 0)
        GROUP BY r.name, r.problem
    """)
    return {row.name: row for row in connection.execute(query)}


def forget_absent(connection: Connection, before: datetime) -> int:
    """Remove receivers that no sender has had since a time; return how many."""
    query = text("DELETE FROM notify_receivers WHERE seen_at < :before")
    return connection.execute(query, {"before": before}).rowcount
