"""Query feedback about periods of assets: rows, pages, effects."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from db.incident_tables import Feedback
from db.queries.cursors import cut_page, decode_cursor
from db.queries.rows import conditions, equal, find_row, id_list, read_row, read_rows
from db.queries.slices import WITHIN, after, slices, walk

Verdict = Literal["confirmed", "false_alarm", "expected", "unsure"]
#: Days over which the precision of incidents is computed.
PRECISION_DAYS: Final = 90
#: Maximum number of readings counted for a period.
MAX_COUNTED: Final = 1_000_000

_NAMES: Final = tuple(Feedback.__table__.columns.keys())  # type: ignore[attr-defined]
_COLUMNS: Final = ", ".join(name for name in _NAMES if name != "client_token")
_GIVEN: Final = tuple(
    name for name in _NAMES if name != "created_at" and not name.startswith("withdrawn")
)

_ADD = text(f"""
    INSERT INTO feedback ({", ".join(_GIVEN)}) VALUES ({", ".join(f":{name}" for name in _GIVEN)})
    ON CONFLICT (client_token) DO NOTHING RETURNING {_COLUMNS}
""")  # noqa: S608 (constants)
_OF_TOKEN = text(f"SELECT {_COLUMNS} FROM feedback WHERE client_token = :token")  # noqa: S608
_ONE = text(f"SELECT {_COLUMNS} FROM feedback WHERE id = :id")  # noqa: S608
_OF_CLOSING = text(f"""
    SELECT {_COLUMNS} FROM feedback
    WHERE incident_id = ANY(CAST(:ids AS uuid[])) AND by_closing AND withdrawn_at IS NULL
    ORDER BY created_at, id
""")  # noqa: S608 (constants)
_WITHDRAW = text(f"""
    UPDATE feedback SET withdrawn_at = now(), withdrawn_by = :who, withdrawn_why = :why
    WHERE id = ANY(CAST(:ids AS uuid[])) AND withdrawn_at IS NULL RETURNING {_COLUMNS}
""")  # noqa: S608 (constants)
# For each incident the newest feedback counts that is not withdrawn.
_IN_FORCE: Final = """
    SELECT DISTINCT ON (COALESCE(incident_id, id)) * FROM feedback
    WHERE withdrawn_at IS NULL AND created_at > now() - make_interval(days => :days)
    ORDER BY COALESCE(incident_id, id), created_at DESC, id
"""
_FALSE_ALARMS = text(f"""
    SELECT asset_id, count(*) AS n FROM ({_IN_FORCE}) f
    WHERE verdict = 'false_alarm'
      AND (CAST(:assets AS text[]) IS NULL OR asset_id = ANY(CAST(:assets AS text[])))
    GROUP BY asset_id
""")  # noqa: S608 (constants)
_PRECISION = text(f"""
    SELECT COALESCE(group_name, '') AS name,
           count(*) FILTER (WHERE verdict = 'confirmed') AS confirmed,
           count(*) FILTER (WHERE verdict = 'false_alarm') AS false_alarms
    FROM ({_IN_FORCE}) f WHERE verdict IN ('confirmed', 'false_alarm')
    GROUP BY 1 ORDER BY 1
""")  # noqa: S608 (constants)
_SPANS = text("""
    SELECT asset_id, sensor_id, feature, starts_at, ends_at, verdict FROM (
        SELECT DISTINCT ON (COALESCE(incident_id, id)) * FROM feedback WHERE withdrawn_at IS NULL
        ORDER BY COALESCE(incident_id, id), created_at DESC, id
    ) f
    WHERE verdict <> 'unsure'
      AND (CAST(:start AS timestamptz) IS NULL OR ends_at >= CAST(:start AS timestamptz))
    ORDER BY asset_id, starts_at
""")
_STREAM = """
    asset_id = :asset_id AND timestamp >= :since AND timestamp <= :until
    AND (CAST(:sensor_id AS text) IS NULL OR sensor_id = :sensor_id)
    AND (CAST(:feature AS text) IS NULL OR feature = :feature)
"""
_COUNT = text(f"""
    SELECT count(*) FROM (
        SELECT 1 FROM anomaly_detections
        WHERE {_STREAM} AND topic_id IS NOT NULL AND {WITHIN} LIMIT :left
    ) m
""")  # noqa: S608 (constants)
_GROUP = text(f"""
    SELECT group_name FROM anomaly_detections WHERE {_STREAM} AND {WITHIN}
    ORDER BY timestamp DESC LIMIT 1
""")  # noqa: S608 (constants)


@dataclass(frozen=True, slots=True)
class FeedbackFilter:
    """Selection of feedback whose period overlaps the given one; None: all."""

    asset_id: str | None = None
    sensor_id: str | None = None
    incident_id: UUID | None = None
    verdict: str | None = None
    withdrawn: bool | None = None
    start: datetime | None = None
    end: datetime | None = None


_CONDITIONS: Final = {
    **equal("asset_id", "sensor_id", "incident_id", "verdict"),
    "withdrawn": "(withdrawn_at IS NOT NULL) = :withdrawn",
    "start": "ends_at >= :start",
    "end": "starts_at <= :end",
}


def add_feedback(connection: Connection, values: dict[str, Any]) -> dict[str, Any] | None:
    """Add feedback; return its row, or None if its ``client_token`` exists."""
    given = {"id": uuid4(), "by_closing": False, "client_token": None, **values}
    return read_row(connection, _ADD, given)


def feedback_of_token(connection: Connection, token: str) -> dict[str, Any]:
    """Return the feedback that was given with a token."""
    return dict(connection.execute(_OF_TOKEN, {"token": token}).mappings().one())


def get_feedback(connection: Connection, feedback_id: UUID) -> dict[str, Any]:
    """Return one row of feedback.

    Raises
    ------
    NotFound
    """
    return find_row(connection, _ONE, feedback_id, "feedback")


def closing_feedback(
    connection: Connection, incidents: Collection[UUID]
) -> dict[UUID, dict[str, Any]]:
    """Return, by incident, the feedback given by closing it, unless it is withdrawn."""
    rows = read_rows(connection, _OF_CLOSING, {"ids": id_list(incidents)})
    return {row["incident_id"]: row for row in rows}


def withdraw_feedback(
    connection: Connection, ids: Collection[UUID], who: str, why: str | None
) -> list[dict[str, Any]]:
    """Withdraw feedback that is not withdrawn yet; return the changed rows.

    Parameters
    ----------
    connection : Connection
    ids : collection of UUID
    who, why : str
        Stored with each row.
    """
    return read_rows(connection, _WITHDRAW, {"ids": id_list(ids), "who": who, "why": why})


def feedback_page(
    connection: Connection,
    filters: FeedbackFilter,
    *,
    limit: int,
    cursor: str | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page, newest first, and the next cursor, None if there is no next page.

    Parameters
    ----------
    connection : Connection
    filters : FeedbackFilter
    limit : int
        Rows of the page.
    cursor : str, optional
        From the previous page, with the same filters.

    Raises
    ------
    InputError
        ``bad_cursor``.
    """
    parts, values = conditions(filters, _CONDITIONS)
    if cursor is not None:
        at, last = decode_cursor(cursor, filters)
        parts.append("(created_at, id) < (:before_at, CAST(:before_id AS uuid))")
        values |= {"before_at": at, "before_id": last}
    query = text(
        f"SELECT {_COLUMNS} FROM feedback WHERE {' AND '.join(parts) or 'TRUE'} "  # noqa: S608
        "ORDER BY created_at DESC, id DESC LIMIT :limit"
    )
    rows = read_rows(connection, query, {**values, "limit": limit + 1})
    return cut_page(rows, limit, "created_at", filters)


def false_alarms(
    connection: Connection, days: int, assets: Collection[str] | None = None
) -> dict[str, int]:
    """Count, per asset, the valid false alarms that were reported in the last ``days``.

    Parameters
    ----------
    connection : Connection
    days : int
    assets : collection of str, optional
        Only of these; None: of all.
    """
    values = {"days": days, "assets": None if assets is None else list(assets)}
    return {row.asset_id: row.n for row in connection.execute(_FALSE_ALARMS, values)}


def precision_by_group(connection: Connection) -> dict[str, tuple[int, int]]:
    """Count confirmed incidents and false alarms by group, reported in the last 90 days.

    The group is empty if no stored reading has one.
    """
    rows = connection.execute(_PRECISION, {"days": PRECISION_DAYS})
    return {row.name: (row.confirmed, row.false_alarms) for row in rows}


def feedback_spans(connection: Connection, start: datetime | None) -> Sequence[Any]:
    """Return the valid periods that end after ``start`` (None: all), as rows for training."""
    return connection.execute(_SPANS, {"start": start}).all()


def count_readings(connection: Connection, row: dict[str, Any]) -> int:
    """Count the stored readings from Kafka that feedback is about, up to a million."""
    left = MAX_COUNTED
    for part in walk(connection, slices(connection, row["starts_at"], after(row["ends_at"]))):
        values = {**_stream(row), **part.values(), "left": left}
        left -= int(connection.execute(_COUNT, values).scalar_one())
        if left <= 0:
            break
    return MAX_COUNTED - left


def group_of(connection: Connection, row: dict[str, Any]) -> str | None:
    """Return the group that scored the newest stored reading of a period."""
    for part in walk(connection, slices(connection, row["starts_at"], after(row["ends_at"]))):
        found = connection.execute(_GROUP, {**_stream(row), **part.values()}).first()
        if found is not None:
            return None if found.group_name is None else str(found.group_name)
    return None


def _stream(row: dict[str, Any]) -> dict[str, Any]:
    names = ("asset_id", "sensor_id", "feature")
    return {**{n: row[n] for n in names}, "since": row["starts_at"], "until": row["ends_at"]}
