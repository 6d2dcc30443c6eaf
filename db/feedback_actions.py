"""Give and withdraw feedback; both are recorded in the log of the incident, if any.

Feedback is never overwritten: for each incident the newest feedback that is not withdrawn counts.
Closing an incident with a verdict also gives feedback. It is withdrawn if a person reopens the
incident, or if the incident got worse than it was when the verdict was given. If the same fault
only comes back, as on each morning of a machine that stops at night, it stays: the verdict is about
the time up to the closing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.fault_codes import check_fault_code
from db.incident_lifecycle import Incident
from db.queries import feedback
from db.queries.incident_rows import lock_incidents, write
from errors import Conflict, InputError, NotFound

#: Fields that two requests with the same token must share.
_SAME = ("asset_id", "sensor_id", "feature", "incident_id", "verdict", "fault_code", "note",
         "created_by")  # fmt: skip


def give_feedback(
    connection: Connection,
    values: dict[str, Any],
    *,
    incident_id: UUID | None = None,
    topic: str = "",
) -> tuple[dict[str, Any], str | None]:
    """Add feedback; return its row, and a warning about its fault code.

    Parameters
    ----------
    values : dict
        ``verdict, fault_code, note, created_by, client_token``, ``starts_at`` and ``ends_at``
        (None: as the incident's), and without an incident ``asset_id, sensor_id, feature``.

    Raises
    ------
    NotFound, InputError, Conflict
        The incident does not exist; the period ends before it starts or the code is unknown; the
        token was used for other feedback.
    """
    warning = check_fault_code(connection, values["fault_code"])
    incident = None
    if incident_id is not None:
        found = lock_incidents(connection, [incident_id])
        if not found:
            raise NotFound(f"no incident {incident_id}")
        incident = found[0]
        values = {**values, **_of_incident(incident, values["starts_at"], values["ends_at"])}
    if values["ends_at"] < values["starts_at"]:
        span = f"{values['ends_at'].isoformat()} is before start, {values['starts_at'].isoformat()}"
        raise InputError(f"end: {span}", field="end")
    if incident is None:
        values = {**values, "incident_id": None, "group_name": None}
        values["group_name"] = feedback.group_of(connection, values)
    made = feedback.add_feedback(connection, values)
    if made is None:
        return _repeated(connection, values), warning
    if incident is not None:
        incident.change(
            f"feedback: {made['verdict']}", made["created_by"], why=made["note"], always=True
        )
        write(connection, [incident], topic)
    return made, warning


def _repeated(connection: Connection, values: dict[str, Any]) -> dict[str, Any]:
    before = feedback.feedback_of_token(connection, values["client_token"])
    # the incident's own period grows while the incident lasts, so it is not compared
    span = () if values["incident_id"] is not None else ("starts_at", "ends_at")
    if any(before[name] != values[name] for name in (*_SAME, *span)):
        raise Conflict(
            f"Idempotency-Key: {values['client_token']!r:.80} was used for feedback {before['id']}"
            f" ({before['verdict']}, asset {before['asset_id']!r}) by {before['created_by']!r}",
            code="idempotency_key_used",
            field="idempotency-key",
        )
    return before


def _of_incident(
    incident: Incident, start: datetime | None = None, end: datetime | None = None
) -> dict[str, Any]:
    last = max(incident.cleared_at or incident.last_activity_at, incident.started_at)
    return {
        "incident_id": incident.id,
        "asset_id": incident.asset_id,
        "sensor_id": incident.sensor_id,
        "feature": incident.feature,
        "group_name": incident.group_name,
        "starts_at": start or incident.started_at,
        "ends_at": end or last,
    }


def feedback_of_closing(connection: Connection, closed: Sequence[Incident]) -> None:
    """Add feedback for incidents that were closed with a verdict."""
    for incident in closed:
        if incident.verdict is not None:
            given = {
                **_of_incident(incident),
                "verdict": incident.verdict,
                "fault_code": incident.fault_code,
                "note": incident.note,
                "created_by": incident.closed_by,
                "by_closing": True,
            }
            feedback.add_feedback(connection, given)


def withdraw_closing(
    connection: Connection, reopened: Sequence[Incident], who: str, why: str
) -> None:
    """Withdraw the feedback that the last closing of these incidents gave.

    A closing without a verdict gave none; that of an earlier closing stays.

    Parameters
    ----------
    connection : Connection
    reopened : sequence of Incident
    who, why : str
        Recorded with each.
    """
    judged = [one.id for one in reopened if one.lost_verdict]
    given = feedback.closing_feedback(connection, judged)
    if given:
        ids = [row["id"] for row in given.values()]
        feedback.withdraw_feedback(connection, ids, who, why)


def withdraw(
    connection: Connection, feedback_id: UUID, who: str, why: str | None, topic: str = ""
) -> dict[str, Any]:
    """Withdraw feedback; return its row. An earlier withdrawal stays unchanged.

    An incident that was closed with this feedback stays closed, without a verdict.

    Parameters
    ----------
    connection : Connection
    feedback_id : UUID
    who, why : str
        Recorded with the feedback and in the incident's log.
    topic : str
        Topic of published incidents; empty: none.

    Raises
    ------
    NotFound
    """
    # the incident is locked first, in the same order as closing and reopening do
    about = feedback.get_feedback(connection, feedback_id)["incident_id"]
    found = lock_incidents(connection, [about]) if about is not None else []
    rows = feedback.withdraw_feedback(connection, [feedback_id], who, why)
    if not rows:
        return feedback.get_feedback(connection, feedback_id)
    for incident in found:
        # an earlier closing of the incident may have given it
        closed = incident.closed_at is not None and rows[0]["created_at"] >= incident.closed_at
        by_closing = rows[0]["by_closing"] and closed
        cleared = {"verdict": None, "fault_code": None} if by_closing else {}
        what = f"feedback withdrawn: {rows[0]['verdict']}"
        incident.change(what, who, why=why, always=True, **cleared)
    write(connection, found, topic)
    return rows[0]
