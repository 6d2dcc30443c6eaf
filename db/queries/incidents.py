"""Query incidents for people: filtered, newest activity first, page by page; log and readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from db.incident_lifecycle import SYSTEM
from db.incident_tables import STATES
from db.queries.cursors import cut_page, decode_cursor
from db.queries.incident_rows import SHOWN
from db.queries.rows import conditions, equal, find_row, read_rows
from db.queries.slices import WITHIN, after, slices, walk
from schemas import StreamKey, moved

#: Incidents of a state are counted up to here.
MAX_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class IncidentFilter:
    """Selection of incidents that overlap the given period; None: all.

    ``criticality`` is the incident's severity, as in the history of readings.
    """

    states: tuple[str, ...] | None = None
    asset_id: str | None = None
    sensor_id: str | None = None
    group: str | None = None
    criticality: str | None = None
    assignee: str | None = None
    start: datetime | None = None
    end: datetime | None = None


_CONDITIONS = {
    "states": "state = ANY(CAST(:states AS text[]))",
    **equal("asset_id", "sensor_id", "assignee"),
    "group": "group_name = :group",
    "criticality": "severity = :criticality",
    "start": "last_activity_at >= :start",
    "end": "started_at <= :end",
}
_ONE_STATE = "state = :state"


def incident_page(
    connection: Connection, filters: IncidentFilter, *, limit: int, cursor: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page, newest activity first, and the next cursor, None if there is no next page.

    An incident with new activity moves to the front of the list; none is skipped because of this.

    Parameters
    ----------
    connection : Connection
    filters : IncidentFilter
    limit : int
        Rows of the page.
    cursor : str, optional
        From the previous page, with the same filters.

    Raises
    ------
    InputError
        ``bad_cursor``.
    """
    query, values = incident_query(filters, limit=limit, cursor=cursor)
    rows = read_rows(connection, text(query), values)
    return cut_page(rows, limit, "last_activity_at", filters)


def incident_query(
    filters: IncidentFilter, *, limit: int, cursor: str | None = None
) -> tuple[str, dict[str, Any]]:
    """Build the SELECT (and its parameters) of one page; it fetches one row more.

    Parameters
    ----------
    filters : IncidentFilter
    limit : int
        Rows of the page.
    cursor : str, optional
        From the previous page, with the same filters.
    """
    where, values = _where(filters)
    if cursor is not None:
        at, last = decode_cursor(cursor, filters)
        where += " AND (last_activity_at, id) < (:at, CAST(:last AS uuid))"
        values |= {"at": at, "last": last}
    query = (
        f"SELECT {SHOWN} FROM incidents WHERE {where} "  # noqa: S608 (constants)
        "ORDER BY last_activity_at DESC, id DESC LIMIT :limit"
    )
    return query, {**values, "limit": limit + 1}


def incident_counts(connection: Connection, filters: IncidentFilter) -> tuple[dict[str, int], bool]:
    """Count the matching incidents per state, ignoring the state filter; return if it is exact.

    Each is counted up to 10,000.
    """
    where, values = _where(filters, but="states")
    query = text(
        f"SELECT count(*) FROM (SELECT 1 FROM incidents WHERE {_ONE_STATE} "  # noqa: S608
        f"AND {where} LIMIT {MAX_COUNTED + 1}) AS found"
    )
    counts = {
        state: int(connection.execute(query, {**values, "state": state}).scalar_one())
        for state in STATES
    }
    exact = all(count <= MAX_COUNTED for count in counts.values())
    return {state: min(count, MAX_COUNTED) for state, count in counts.items()}, exact


def _where(filters: IncidentFilter, but: str = "") -> tuple[str, dict[str, Any]]:
    parts, values = conditions(filters, {k: v for k, v in _CONDITIONS.items() if k != but})
    if "states" in values:
        states = values.pop("states")
        if len(states) == 1:  # an equality uses the index in the wanted order
            parts[0], values["state"] = _ONE_STATE, states[0]
        else:
            values["states"] = list(states)
    return " AND ".join(parts) or "TRUE", values


def get_incident(connection: Connection, incident_id: UUID) -> dict[str, Any]:
    """Return one incident.

    Raises
    ------
    NotFound
    """
    query = text(f"SELECT {SHOWN} FROM incidents WHERE id = :id")  # noqa: S608 (constants)
    return find_row(connection, query, incident_id, "incident")


def get_log(
    connection: Connection,
    incident_id: UUID,
    *,
    limit: int,
    after_id: int = 0,
    before_id: int | None = None,
    newest: bool = False,
) -> list[dict[str, Any]]:
    """Return entries of an incident's log, oldest first.

    Parameters
    ----------
    connection : Connection
    incident_id : UUID
    limit : int
        Maximum number of entries.
    after_id, before_id : int, optional
        Ids between which the entries lie, both excluded.
    newest : bool
        If there are more entries, return the last of them instead of the first.
    """
    query = text(f"""
        SELECT id, at, occurred_at, version, who, what, why, before, after FROM incident_log
        WHERE incident_id = :incident AND id > :after
          AND id < COALESCE(:before, 9223372036854775807)
        ORDER BY id {"DESC" if newest else "ASC"} LIMIT :limit
    """)  # noqa: S608 (constants)
    values = {"incident": incident_id, "after": after_id, "before": before_id, "limit": limit}
    found = read_rows(connection, query, values)
    return found[::-1] if newest else found


_READINGS = text(f"""
    SELECT id, timestamp, final_score, p, threshold, is_anomaly, criticality, features, event_id,
        (SELECT jsonb_object_agg(one ->> 'feature', one -> 'expected')
         FROM jsonb_array_elements(metadata -> 'explanation' -> 'features') AS one
         WHERE one ->> 'feature' IS NOT NULL AND one ->> 'per' IS NULL) AS expected
    FROM anomaly_detections
    WHERE stream_id = stream_key(:asset_id, :sensor_id, NULL) AND asset_id = :asset_id
      AND sensor_id IS NOT DISTINCT FROM :sensor_id AND feature IS NOT DISTINCT FROM :feature
      AND timestamp >= :since AND timestamp <= :until AND {WITHIN}
    ORDER BY timestamp DESC, id DESC LIMIT :limit
""")  # noqa: S608 (constants)


def incident_readings(
    connection: Connection,
    incident: dict[str, Any],
    *,
    start: datetime | None,
    end: datetime | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Return readings of an incident's stream, oldest first: the newest ``limit`` of a span.

    Without ``start`` and ``end``: the incident's own span, plus a tenth of it before and after.

    Parameters
    ----------
    connection : Connection
    incident : dict
        Its row.
    start, end : datetime or None
        The span, both included.
    limit : int
        Maximum number of readings.
    """
    until = incident["cleared_at"] or incident["last_activity_at"]
    margin = max((until - incident["started_at"]) / 10, timedelta(seconds=60))
    span = start or moved(incident["started_at"], -margin), end or moved(until, margin)
    values = {name: incident[name] for name in ("asset_id", "sensor_id", "feature")}
    values |= {"since": span[0], "until": span[1]}
    found: list[dict[str, Any]] = []
    for part in walk(connection, slices(connection, span[0], after(span[1]))):
        wanted = {**values, **part.values(), "limit": limit - len(found)}
        found += read_rows(connection, _READINGS, wanted)
        if len(found) >= limit:
            break
    return found[::-1]


_CLOSED_PERSISTENT = text("""
    SELECT i.asset_id, coalesce(i.sensor_id, '') AS sensor_id, coalesce(i.feature, '') AS feature,
           array_agg(CAST(e.event_id AS text)) AS events
    FROM (
        SELECT * FROM incidents
        WHERE persistent AND closed_at IS NOT NULL AND closed_by <> :system
        ORDER BY closed_at DESC LIMIT 1000
    ) i JOIN incident_events e ON e.incident_id = i.id
    GROUP BY 1, 2, 3
""")


def closed_persistent(connection: Connection) -> dict[StreamKey, list[str]]:
    """Return, by stream, the events of persistent incidents that people closed (newest 1,000)."""
    rows = connection.execute(_CLOSED_PERSISTENT, {"system": SYSTEM})
    return {(row.asset_id, row.sensor_id, row.feature): row.events for row in rows}
