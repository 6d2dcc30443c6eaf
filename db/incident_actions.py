"""Apply people's actions to incidents; each action has an inverse, each change a log entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from config import Settings
from db.fault_codes import check_fault_code
from db.feedback_actions import feedback_of_closing, withdraw_closing
from db.incident_lifecycle import UNCLOSED, UNSHELVED, Incident
from db.queries.feedback import closing_feedback
from db.queries.incident_rows import SHOWN, lock_incidents, write
from db.queries.rows import id_list, read_rows
from db.session import database_now
from errors import AnomalyError, Conflict, InputError, NotFound, PreconditionFailed
from schemas import parse_timestamp

#: Arguments that the log stores under their own names.
_RECORDED = ("verdict", "fault_code", "assignee", "ticket")


@dataclass(frozen=True, slots=True)
class Action:
    """An action with its author and arguments.

    Parameters
    ----------
    verb : str
        One of :data:`VERBS`.
    who : str
    arguments : mapping
        The fields of the action's body.
    token : str, optional
        The caller's idempotency key: a repeated action with the same key has no effect.
    """

    verb: str
    who: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    token: str | None = None

    @property
    def what(self) -> str:
        """Return the action's name in the log."""
        return VERBS[self.verb][0]


@dataclass(slots=True)
class Outcome:
    """The result of an action: the present incidents, and errors by id.

    ``feedback`` holds the feedback given by closing, ``warning`` one about the fault code.
    """

    incidents: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    errors: dict[UUID, AnomalyError] = field(default_factory=dict)
    affected: int = 0
    feedback: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class _Context:
    action: Action
    now: datetime
    max_shelve_s: float

    @property
    def given(self) -> Mapping[str, Any]:
        return self.action.arguments

    def change(self, incident: Incident, **values: Any) -> bool:
        """Set columns in the name of the acting person."""
        action = self.action
        return incident.change(
            action.what, action.who, why=action.arguments.get("why"), token=action.token, **values
        )


def perform(
    connection: Connection,
    action: Action,
    targets: Sequence[tuple[UUID, int | None]],
    settings: Settings,
) -> Outcome:
    """Act on incidents, each with the version that the caller has seen (None: any).

    A failed incident does not affect the others. An action without effect is no error and is not
    logged.

    Parameters
    ----------
    connection : Connection
    action : Action
    targets : sequence of (UUID, int or None)
        Incidents, each with the version that the caller has seen.
    settings : Settings
        Maximum shelving time, and topic of published incidents.
    """
    ids = [one for one, _ in targets]
    found = {one.id: one for one in lock_incidents(connection, ids)}
    done = _done_before(connection, action, ids)
    context = _Context(action, database_now(connection), settings.max_shelve_s)
    outcome = Outcome()
    outcome.warning = check_fault_code(connection, action.arguments.get("fault_code"))
    changed: list[Incident] = []
    for incident_id, version in targets:
        try:
            incident = found.get(incident_id)
            if incident is None:
                raise NotFound(f"no incident {incident_id}")
            if incident_id in done:
                _check_same(action, done[incident_id])
                continue
            if version is not None and version != incident.version:
                raise _overtaken(connection, incident, version)
            if VERBS[action.verb][1](incident, context):
                changed.append(incident)
        except AnomalyError as error:
            outcome.errors[incident_id] = error
    if action.verb == "reopen":
        withdraw_closing(connection, changed, action.who, "reopened")
    write(connection, found.values(), settings.kafka_topic_incidents)
    if action.verb == "close":
        feedback_of_closing(connection, changed)
        # after an error the verdict is another person's
        closed = [one for one in found.values() if one.id not in outcome.errors]
        judged = [one.id for one in closed if one.verdict is not None]
        outcome.feedback = closing_feedback(connection, judged)
    outcome.affected = len(changed)
    outcome.incidents = _read(connection, list(found))
    return outcome


def _read(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    query = text(f"""
        SELECT {SHOWN} FROM incidents WHERE id = ANY(CAST(:ids AS uuid[]))
    """)  # noqa: S608 (constants)
    return {row["id"]: row for row in read_rows(connection, query, {"ids": id_list(ids)})}


def _done_before(connection: Connection, action: Action, ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Return, by incident, who has already done what with this token."""
    if action.token is None:
        return {}
    query = text("""
        SELECT incident_id, who, what, why, after FROM incident_log
        WHERE client_token = :token AND incident_id = ANY(CAST(:ids AS uuid[]))
    """)
    values = {"token": action.token, "ids": id_list(ids)}
    return {row.incident_id: row for row in connection.execute(query, values)}


def _check_same(action: Action, before: Any) -> None:
    given = {name: action.arguments[name] for name in _RECORDED if name in action.arguments}
    if until := action.arguments.get("until"):
        given["shelved_until"] = until
    recorded = {name: (before.after or {}).get(name) for name in given}
    if until and recorded["shelved_until"]:
        recorded["shelved_until"] = parse_timestamp(recorded["shelved_until"])
    why = action.arguments.get("why")
    if (before.who, before.what, before.why, recorded) != (action.who, action.what, why, given):
        raise Conflict(
            f"Idempotency-Key: {action.token!r:.80} was used before, for another"
            f" {before.what!r} by {before.who!r}",
            code="idempotency_key_used",
            field="idempotency-key",
        )


def _overtaken(connection: Connection, incident: Incident, version: int) -> PreconditionFailed:
    query = text("""
        SELECT who, what, at FROM incident_log
        WHERE incident_id = :id AND version > :version ORDER BY id DESC LIMIT 3
    """)
    rows = connection.execute(query, {"id": incident.id, "version": min(version, 2**62)}).all()
    by = ", ".join(f"{row.what} by {row.who} at {row.at:%Y-%m-%d %H:%M:%S}Z" for row in rows)
    return PreconditionFailed(
        f"incident {incident.id} is at version {incident.version}, not {version}"
        + (f": {by}" if by else ""),
        field="if-match",
    )


def _open(incident: Incident, verb: str) -> None:
    if incident.closed_at is not None:
        raise Conflict(
            f"incident {incident.id} was closed by {incident.closed_by}: reopen it to {verb} it",
            code="closed",
        )


def _acknowledge(incident: Incident, context: _Context) -> bool:
    _open(incident, "acknowledge")
    if incident.acknowledged_at is not None:
        return False
    who = context.action.who
    return context.change(incident, acknowledged_at=context.now, acknowledged_by=who)


def _shelve(incident: Incident, context: _Context) -> bool:
    _open(incident, "shelve")
    given = context.given
    longest = context.now + timedelta(seconds=context.max_shelve_s)
    until = given.get("until")
    if until is None:
        seconds = given.get("seconds")
        if seconds is None:
            raise InputError("until: is missing; give until or seconds", field="until")
        until = context.now + timedelta(seconds=min(seconds, 10 * context.max_shelve_s))
    if until <= context.now:
        raise InputError(f"until: {until.isoformat()} is not in the future", field="until")
    if until > longest:
        raise InputError(
            f"until: {until.isoformat()} is more than {context.max_shelve_s:g} s ahead"
            " (MAX_SHELVE_S)",
            field="until",
        )
    return context.change(
        incident, shelved_until=until, shelved_by=context.action.who, shelve_reason=given["why"]
    )


def _close(incident: Incident, context: _Context) -> bool:
    _open(incident, "close")
    given = context.given
    return context.change(
        incident, closed_at=context.now, closed_by=context.action.who,
        verdict=given.get("verdict"), fault_code=given.get("fault_code"), note=given.get("why"),
        **UNSHELVED,
    )  # fmt: skip


def _reopen(incident: Incident, context: _Context) -> bool:
    if incident.closed_at is None:
        return False
    return context.change(incident, **UNCLOSED)


#: Action -> its name in the log, and its function.
VERBS: dict[str, tuple[str, Callable[[Incident, _Context], bool]]] = {
    "acknowledge": ("acknowledged", _acknowledge),
    "unacknowledge": (
        "unacknowledged",
        lambda one, by: by.change(one, acknowledged_at=None, acknowledged_by=None),
    ),
    "shelve": ("shelved", _shelve),
    "unshelve": ("unshelved", lambda one, by: by.change(one, **UNSHELVED)),
    "close": ("closed", _close),
    "reopen": ("reopened", _reopen),
    "assign": ("assigned", lambda one, by: by.change(one, assignee=by.given.get("assignee"))),
    "ticket": ("ticket set", lambda one, by: by.change(one, ticket=by.given.get("ticket"))),
    "comment": (
        "commented",
        lambda one, by: one.comment(by.action.who, by.given["why"], by.action.token),
    ),
}
