"""Query maintenance windows, machine-off conditions and stream resets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from sqlalchemy import Connection, text

from db.queries.rows import find_row, read_row, read_rows
from errors import Conflict

#: Maximum number of windows listed or sent.
MAX_WINDOWS: Final = 1000
#: Windows that ended longer ago (days) cannot concern any coming reading.
WINDOW_DAYS: Final = 400
#: Namespace of the ids of windows that were added with a token.
_TOKENS: Final = UUID("5b8f3d0e-6a6c-5b8a-9a4e-2f3f4a1c7d52")
#: Fields of a window, and the table's columns.
WINDOW_COLUMNS: Final = {
    "start": "starts_at", "end": "ends_at", "rrule": "rrule", "time_zone": "time_zone",
    "asset_id": "asset_pattern", "sensor_id": "sensor_pattern", "group": "group_pattern",
    "reason": "reason", "alarms": "suppresses_alarms", "training": "excluded_from_training",
}  # fmt: skip

_NAMED = ", ".join(f'{column} AS "{name}"' for name, column in WINDOW_COLUMNS.items())
_WINDOW = f"id, version, {_NAMED}, created_at, created_by, changed_at, changed_by"
_WINDOWS = text(f"""
    SELECT * FROM (
        SELECT {_WINDOW} FROM maintenance_windows
        WHERE deleted_at IS NULL AND (rrule IS NOT NULL OR ends_at > :since)
        ORDER BY rrule IS NULL, ends_at DESC, id LIMIT :limit
    ) w ORDER BY w.start, w.id
""")  # noqa: S608
_ADD = text(f"""
    INSERT INTO maintenance_windows (id, {", ".join(WINDOW_COLUMNS.values())}, created_by)
    VALUES (:id, {", ".join(f":{name}" for name in WINDOW_COLUMNS)}, :who) RETURNING {_WINDOW}
""")  # noqa: S608
_ADDED = text(f"""
    SELECT {_WINDOW} FROM maintenance_windows WHERE id = :id
""")  # noqa: S608
_CHANGE = text(f"""
    UPDATE maintenance_windows SET
        {", ".join(f"{column} = :{name}" for name, column in WINDOW_COLUMNS.items())},
        version = version + 1, changed_at = now(), changed_by = :who
    WHERE id = :id AND deleted_at IS NULL RETURNING {_WINDOW}
""")  # noqa: S608
_LOCK = text(f"""
    SELECT {_WINDOW} FROM maintenance_windows WHERE id = :id AND deleted_at IS NULL FOR UPDATE
""")  # noqa: S608
_ONE_ADDS = text("LOCK TABLE maintenance_windows IN SHARE ROW EXCLUSIVE MODE")
_COUNT = text(f"""
    SELECT count(*) FROM maintenance_windows WHERE deleted_at IS NULL
    AND (rrule IS NOT NULL OR ends_at > now() - interval '{WINDOW_DAYS} days')
""")  # noqa: S608
_DELETE = text("""
    UPDATE maintenance_windows
    SET deleted_at = now(), deleted_by = :who, version = version + 1
    WHERE id = :id AND deleted_at IS NULL
""")
_CONDITIONS = text("""
    SELECT group_name AS "group", feature, operator, value, hold_s, run_up_s, changed_at, changed_by
    FROM off_conditions ORDER BY id
""")
_LOCK_CONDITIONS = text("LOCK TABLE off_conditions IN SHARE ROW EXCLUSIVE MODE")
_DROP_CONDITIONS = text("DELETE FROM off_conditions")
_ADD_CONDITION = text("""
    INSERT INTO off_conditions
        (group_name, feature, operator, value, hold_s, run_up_s, changed_at, changed_by)
    VALUES (:group, :feature, :operator, :value, :hold_s, :run_up_s,
            COALESCE(:changed_at, now()), :changed_by)
""")
_CONDITION: Final = ("group", "feature", "operator", "value", "hold_s", "run_up_s")
_RESETS = text("""
    SELECT id, asset_id, sensor_id, requested_at FROM stream_resets
    WHERE CAST(:newest_id AS bigint) IS NULL OR id > :newest_id
       OR requested_at > CAST(:newest_at AS timestamptz) - interval '10 minutes'
    ORDER BY id
""")
# a repeated request with the same token returns the existing row
_RESET = text("""
    INSERT INTO stream_resets (asset_id, sensor_id, reason, requested_by, client_token)
    VALUES (:asset_id, :sensor_id, :reason, :requested_by, :token)
    ON CONFLICT (client_token) DO NOTHING
    RETURNING id, asset_id, sensor_id, reason, requested_at, requested_by
""")
_RESET_OF_TOKEN = text("""
    SELECT id, asset_id, sensor_id, reason, requested_at, requested_by FROM stream_resets
    WHERE client_token = :token
""")


def windows(
    connection: Connection, since: datetime, limit: int | None = MAX_WINDOWS
) -> list[dict[str, Any]]:
    """Return windows that recur or end after ``since``, as rows in the order of their starts.

    Parameters
    ----------
    connection : Connection
    since : datetime
    limit : int or None
        If there are more, those that ended first are left out. None: no limit, for old readings.
    """
    return read_rows(connection, _WINDOWS, {"since": since, "limit": limit})


def lock_window(connection: Connection, window_id: UUID) -> dict[str, Any]:
    """Return one window, locked until the transaction ends.

    Raises
    ------
    NotFound
    """
    return find_row(connection, _LOCK, window_id, "maintenance window")


def add_window(
    connection: Connection, values: Mapping[str, Any], who: str, token: str | None = None
) -> dict[str, Any]:
    """Add a window; return its row.

    Parameters
    ----------
    connection : Connection
    values : mapping
        Fields of the window, those of :data:`WINDOW_COLUMNS`.
    who : str
        Stored with the window.
    token : str, optional
        Of the caller: the same token adds one window, whose id follows from it.

    Raises
    ------
    Conflict
        ``too_many``: a window beyond the limit would never be read, and so have no effect.
        ``idempotency_key_used``: the token was used for another window, or it was changed since.
    """
    connection.execute(_ONE_ADDS)
    window_id = uuid4() if token is None else uuid5(_TOKENS, f"{who}\x1f{token}")
    before = None if token is None else read_row(connection, _ADDED, {"id": window_id})
    if before is not None:
        if window_fields(before) != {name: values[name] for name in WINDOW_COLUMNS}:
            changed = ", which was changed since" if before["changed_at"] else ""
            raise Conflict(
                f"Idempotency-Key: {token!r:.80} was used for maintenance window {window_id}"
                f" from {before['start'].isoformat()} to {before['end'].isoformat()}{changed}",
                code="idempotency_key_used",
                field="idempotency-key",
            )
        return before
    if connection.execute(_COUNT).scalar_one() >= MAX_WINDOWS:
        raise Conflict(
            f"{MAX_WINDOWS} windows are planned, recur or ended within {WINDOW_DAYS} days: delete"
            " some, or use one pattern for many assets",
            code="too_many",
        )
    given = {**values, "id": window_id, "who": who}
    return dict(connection.execute(_ADD, given).mappings().one())


def change_window(
    connection: Connection, window_id: UUID, values: Mapping[str, Any], who: str
) -> dict[str, Any]:
    """Set the values of a locked window; return its row.

    Parameters
    ----------
    connection : Connection
    window_id : UUID
    values : mapping
        Fields of the window, all of :data:`WINDOW_COLUMNS`.
    who : str
        Stored with the window.
    """
    given = {**values, "id": window_id, "who": who}
    return dict(connection.execute(_CHANGE, given).mappings().one())


def delete_window(connection: Connection, window_id: UUID, who: str) -> bool:
    """Mark a window as deleted, with the author; return whether it existed.

    Parameters
    ----------
    connection : Connection
    window_id : UUID
    who : str
        Stored with the window.
    """
    return bool(connection.execute(_DELETE, {"id": window_id, "who": who}).rowcount)


def window_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a window's row as the fields of a window without id."""
    return {name: row[name] for name in WINDOW_COLUMNS}


def window_wire(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a window's row for ``/detect/streams``."""
    return {name: row[name] for name in ("id", *WINDOW_COLUMNS) if row[name] is not None}


def off_conditions(connection: Connection, *, lock: bool = False) -> list[dict[str, Any]]:
    """Return all machine-off conditions as rows; ``lock`` the table until the transaction ends."""
    if lock:
        connection.execute(_LOCK_CONDITIONS)
    return read_rows(connection, _CONDITIONS)


def put_off_conditions(
    connection: Connection, conditions: Sequence[Mapping[str, Any]], who: str
) -> list[dict[str, Any]]:
    """Replace the machine-off conditions; unchanged ones keep their author.

    Parameters
    ----------
    connection : Connection
    conditions : sequence of mapping
        ``group, feature, operator, value, hold_s, run_up_s`` of each; empty: delete all.
    who : str
        Stored with each new condition.

    Returns
    -------
    list of dict
        The new table.
    """
    author = {_key(row): row for row in off_conditions(connection, lock=True)}
    connection.execute(_DROP_CONDITIONS)
    new = {"changed_at": None, "changed_by": who}
    rows = [{**one, **(author.get(_key(one)) or new)} for one in conditions]
    if rows:
        connection.execute(_ADD_CONDITION, rows)
    return off_conditions(connection)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _CONDITION)


def condition_wire(row: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a condition's row for ``/detect/streams``."""
    return {name: row[name] for name in _CONDITION}


def resets(connection: Connection, newest: tuple[int, datetime] | None) -> list[dict[str, Any]]:
    """Return resets that became visible after the ``newest`` was read; None: all.

    Parameters
    ----------
    connection : Connection
    newest : (int, datetime), optional
        The known reset with the highest id: its id, and when it was requested. Higher ids are
        new, whatever the server's clock said. Ten minutes before it are read again, because the
        later of two transactions may become visible first.
    """
    newest_id, newest_at = newest or (None, None)
    return read_rows(connection, _RESETS, {"newest_id": newest_id, "newest_at": newest_at})


def request_reset(
    connection: Connection,
    asset_id: str,
    sensor_id: str | None,
    who: str,
    reason: str | None = None,
    token: str | None = None,
) -> dict[str, Any]:
    """Request the restart of a stream, or of all of an asset; return the request's row.

    Parameters
    ----------
    sensor_id : str or None
        None: all streams of the asset.
    who, reason : str
        Kept with the request, for people.
    token : str, optional
        Of the caller: the same token requests once.

    Raises
    ------
    Conflict
        ``idempotency_key_used``: the token was used for another request.
    """
    given = {"asset_id": asset_id, "sensor_id": sensor_id, "reason": reason, "requested_by": who}
    made = read_row(connection, _RESET, {**given, "token": token})
    if made is not None:
        return made
    before = dict(connection.execute(_RESET_OF_TOKEN, {"token": token}).mappings().one())
    if any(before[name] != value for name, value in given.items()):
        raise Conflict(
            f"Idempotency-Key: {token!r:.80} was used for the reset of {_stream(before)} by"
            f" {before['requested_by']!r} at {before['requested_at'].isoformat()}",
            code="idempotency_key_used",
            field="idempotency-key",
        )
    return before


def _stream(row: Mapping[str, Any]) -> str:
    sensor = "" if row["sensor_id"] is None else f", sensor {row['sensor_id']!r}"
    return f"asset {row['asset_id']!r}{sensor}"
