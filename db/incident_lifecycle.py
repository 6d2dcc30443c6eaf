"""An incident and what readings do to it: pure, so that every rule can be tested without a server.

The service decides what an event is and whether it opens an incident (``metadata.event``); here it
is only written down. Every change of state is one entry of the log and raises ``version``, however
the readings are cut into batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final
from uuid import UUID

from db.encoding import JsonText
from errors import InputError
from schemas import StreamKey, parse_timestamp, stream_key

SEVERITIES: Final = ("low", "medium", "high", "critical")
#: Who changes an incident when no person does.
SYSTEM: Final = "system"
#: The columns of an incident that is not shelved.
UNSHELVED: Final[dict[str, Any]] = dict.fromkeys(("shelved_until", "shelved_by", "shelve_reason"))
#: REOPEN_GAP_S of 0: the larger of so many seconds and so many intervals of the stream.
GAP_S: Final = 600.0
GAP_INTERVALS: Final = 20
#: Times of readings from which a stream's interval is estimated; one pause moves no median.
RECENT: Final = 6
#: Features that the peak names.
TOP_FEATURES: Final = 10


def reopen_gap(reopen_gap_s: float, interval_s: float) -> float:
    """Return for how many seconds after its end an incident may go on: REOPEN_GAP_S, or its own."""
    return reopen_gap_s or max(GAP_S, GAP_INTERVALS * interval_s)


@dataclass(frozen=True, slots=True)
class Activity:
    """One reading of an event, out of its row of ``anomaly_detections``.

    ``opens`` is false while the event is too short or too small for an incident (its on-delay);
    ``why`` is what opened it: ``at_once``, ``on_delay`` or, where nothing else decides, ``event``;
    ``affected_by_feedback``: for that its peak had to be rarer, since people reported false alarms;
    ``suppressed`` names the maintenance window, or what else makes it no alarm; ``beneath`` are the
    states of persistent events that it comes on top of, by their ids.
    """

    row: Mapping[str, Any]
    timestamp: datetime
    event_id: UUID
    kind: str
    started_at: datetime
    state: str
    opens: bool
    why: str | None
    persistent: bool
    suppressed: str | None
    unkeyed: bool
    affected_by_feedback: bool = False
    beneath: Mapping[UUID, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Activity | None:
        """Read a row as a reading of an event; None: it belongs to none.

        Raises
        ------
        InputError
            ``unprocessable``: the event is none of a service like this.
        """
        metadata = row["metadata"]
        event = metadata.get("event")
        if not event:
            return None
        try:
            decided = event.get("incident") or {}
            SEVERITIES.index(row["criticality"])
            return cls(
                row=row,
                timestamp=parse_timestamp(row["timestamp"]),
                event_id=UUID(event["id"]),
                kind=str(event.get("kind", "anomaly")),
                started_at=parse_timestamp(event["started_at"]),
                state=str(event.get("state", "ongoing")),
                opens=decided.get("opens") is not False,
                why=decided.get("why"),
                persistent=decided.get("persistent") is True,
                suppressed=_suppressed(metadata.get("suppressed")),
                unkeyed=bool(metadata.get("spread")),
                beneath={UUID(one["id"]): str(one["state"]) for one in event.get("on_top_of", ())},
                affected_by_feedback=decided.get("affected_by_feedback") is True,
            )
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"metadata.event: {str(event)[:200]} cannot be read ({error})",
                code="unprocessable",
                field="metadata.event",
            ) from None

    @property
    def stream(self) -> StreamKey:
        """Return the key of its stream."""
        return stream_key(self.row["asset_id"], self.row["sensor_id"], self.row["feature"])

    @property
    def anomalous(self) -> bool:
        """Return whether it is an anomaly; an event's other readings only keep it going."""
        return bool(self.row["is_anomaly"])

    @property
    def severity(self) -> str:
        """Return how severe the reading is."""
        return str(self.row["criticality"])

    @property
    def log10_p(self) -> float | None:
        """Return how rare the reading is, where that is known."""
        p = self.row.get("p")
        return math.log10(p) if p else None

    def peak(self) -> dict[str, Any]:
        """Describe the reading as an incident's peak."""
        explanation = self.row["metadata"].get("explanation")
        if isinstance(explanation, JsonText):
            explanation = explanation.value()  # once, not with each key
        explanation = explanation or {}
        affected = {"affected_by_feedback": True} if self.affected_by_feedback else {}
        return {
            **affected,
            "score": self.row["final_score"],
            "log10_p": self.log10_p,
            "timestamp": self.timestamp.isoformat(),
            "features": [
                {"feature": one.get("feature"), "share": one.get("share"),
                 "actual": one.get("value"), "expected": one.get("expected"),
                 **({"per": one["per"]} if one.get("per") else {})}
                for one in explanation.get("features", ())[:TOP_FEATURES]
            ],
            "votes": explanation.get("votes", {}),
            "detection_id": str(self.row["id"]),
        }  # fmt: skip


def _suppressed(given: Any) -> str | None:
    if isinstance(given, Mapping):
        given = " ".join(str(given[name]) for name in ("by", "window") if given.get(name))
    return str(given)[:255] if given else None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One change of one incident."""

    incident_id: UUID
    version: int
    who: str
    what: str
    occurred_at: datetime | None
    why: str | None
    before: dict[str, Any]
    after: dict[str, Any]
    client_token: str | None = None


@dataclass(slots=True)
class Incident:
    """A row of ``incidents``, its events that are not over, and the changes not yet written."""

    id: UUID
    asset_id: str
    sensor_id: str | None
    feature: str | None
    group_name: str | None
    kind: str
    asset_criticality: str | None
    severity: str
    opened_at: datetime
    started_at: datetime
    last_activity_at: datetime
    event_id: UUID
    cleared_at: datetime | None = None
    readings: int = 0
    anomalies: int = 0
    peak: dict[str, Any] = field(default_factory=dict)
    recent: list[float] = field(default_factory=list)
    bundle_version: str | None = None
    persistent: bool = False
    suppressed_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    assignee: str | None = None
    shelved_until: datetime | None = None
    shelved_by: str | None = None
    shelve_reason: str | None = None
    closed_at: datetime | None = None
    closed_by: str | None = None
    verdict: str | None = None
    fault_code: str | None = None
    note: str | None = None
    ticket: str | None = None
    version: int = 0
    revision: int = 0
    open_events: set[UUID] = field(default_factory=set, metadata={"row": False})
    log: list[LogEntry] = field(default_factory=list, metadata={"row": False})
    events: dict[UUID, tuple[datetime, datetime | None]] = field(
        default_factory=dict, metadata={"row": False}
    )  # started and cleared, of those that are to be written
    touched: bool = field(default=False, metadata={"row": False})  # by a reading

    @property
    def stream(self) -> StreamKey:
        """Return the key of its stream."""
        return stream_key(self.asset_id, self.sensor_id, self.feature)

    @property
    def quiet(self) -> bool:
        """Return whether nobody is notified of it now."""
        return self.suppressed_by is not None or self.shelved_until is not None

    def row(self) -> dict[str, Any]:
        """Return its columns."""
        return {name: getattr(self, name) for name in COLUMNS}

    def change(
        self,
        what: str,
        who: str,
        *,
        at: datetime | None = None,
        why: str | None = None,
        token: str | None = None,
        always: bool = False,
        **values: Any,
    ) -> bool:
        """Set columns and note it in the log; whether anything changed.

        Parameters
        ----------
        at : datetime, optional
            A reading's time; None: now, by the server's clock.
        always : bool
            Note it though no column changes, as with a comment.
        """
        before = {name: getattr(self, name) for name in values}
        if before == values and not always:
            return False
        for name, value in values.items():
            setattr(self, name, value)
        self.version += 1
        self.log.append(LogEntry(self.id, self.version, who, what, at, why, before, values, token))
        return True

    def comment(self, who: str, why: str, token: str | None) -> bool:
        """Note something; what others have seen of the incident stays true.

        Parameters
        ----------
        who, why : str
            Who notes what.
        token : str or None
            The caller's own mark.
        """
        entry = LogEntry(self.id, self.version, who, "commented", None, why, {}, {}, token)
        self.log.append(entry)
        return True

    # -- readings -------------------------------------------------------------------------------

    @classmethod
    def opened(cls, activity: Activity) -> Incident:
        """Open the incident that an event becomes."""
        row, at = activity.row, activity.timestamp
        same = ("asset_id", "sensor_id", "feature", "group_name", "asset_criticality")
        incident = cls(
            **{name: row[name] for name in same},
            id=activity.event_id,
            kind=activity.kind,
            severity=activity.severity,
            opened_at=at,
            started_at=activity.started_at,
            last_activity_at=at,
            event_id=activity.event_id,
        )
        incident.change("opened", SYSTEM, at=at, always=True, severity=activity.severity)
        incident._has(activity)
        return incident

    def joinable(self, activity: Activity, gap_s: float) -> bool:
        """Tell whether a new event of the stream and kind goes on with this incident.

        Not with one that lasts: what comes on top of it is another.
        """
        if self.closed_at is not None:
            return False
        if self.cleared_at is None:
            return not self.persistent
        gap = timedelta(seconds=reopen_gap(gap_s, self._interval()))
        return activity.timestamp - self.cleared_at <= gap

    def _interval(self) -> float:
        steps = [b - a for a, b in zip(self.recent, self.recent[1:], strict=False)]
        return max(0.0, median(steps)) if steps else 0.0

    def join(self, activity: Activity) -> None:
        """Take a new event up."""
        over: dict[str, Any] = {"persistent": False} if self.persistent else {}
        self.change(
            "joined", SYSTEM, at=activity.timestamp,
            event_id=activity.event_id, cleared_at=None, **over,
        )  # fmt: skip
        self._has(activity)

    def _has(self, activity: Activity) -> None:
        self.open_events.add(activity.event_id)
        self.events[activity.event_id] = (activity.started_at, None)

    def take(self, activity: Activity, *, ends: bool) -> bool:
        """Count one reading of an event that belongs here; whether its severity rises.

        Parameters
        ----------
        ends : bool
            Whether the reading may end the event, and begin or end suppression: one that the
            bridge stored may, one that REST only asked about may not.
        """
        self.touched = True
        self.readings += 1
        self.bundle_version = activity.row["bundle_version"]
        if activity.persistent and activity.state != "cleared":
            self._lasts(activity)
        if ends:
            self.recent = [*self.recent, activity.timestamp.timestamp()][-RECENT:]
            if activity.suppressed != self.suppressed_by:
                what = "suppressed" if activity.suppressed else "unsuppressed"
                at = activity.timestamp
                self.change(what, SYSTEM, at=at, suppressed_by=activity.suppressed)
        rises = activity.anomalous and self._anomaly(activity)
        if ends and activity.state == "cleared":
            self.end_event(activity.event_id, activity.timestamp)
        return rises

    def _lasts(self, activity: Activity) -> None:
        """Note that the event is persistent, and that it goes on though no reading alarms."""
        self.change("persistent", SYSTEM, at=activity.timestamp, persistent=True)
        if self.closed_at is None:
            self._resume(activity)

    def _resume(self, activity: Activity) -> None:
        if self.cleared_at is not None:  # by the timer, and the event goes on
            self.change("resumed", SYSTEM, at=activity.timestamp, cleared_at=None)
            self._has(activity)

    def _anomaly(self, activity: Activity) -> bool:
        at = activity.timestamp
        self.anomalies += 1
        self.last_activity_at = max(self.last_activity_at, at)
        self._resume(activity)
        self._keep_peak(activity)
        if SEVERITIES.index(activity.severity) <= SEVERITIES.index(self.severity):
            return False
        # What people decided, they decided about something less severe.
        self.change(
            "escalated", SYSTEM, at=at, severity=activity.severity,
            acknowledged_at=None, acknowledged_by=None, closed_at=None, closed_by=None,
        )  # fmt: skip
        return True

    def _keep_peak(self, activity: Activity) -> None:
        """Keep the higher peak; only then is a reading's explanation, long JSON, parsed."""
        before = self.peak
        p, p_before = activity.log10_p, before.get("log10_p")
        if before and p is not None and p_before is not None:
            higher = p < p_before
        else:
            higher = not before or activity.row["final_score"] > before["score"]
        if higher:
            peak = activity.peak()
            affected = before.get("affected_by_feedback") or peak.get("affected_by_feedback")
            self.peak = peak | ({"affected_by_feedback": True} if affected else {})

    def goes_on_beneath(self, event_id: UUID, activity: Activity) -> None:
        """Go on while another event comes on top, whose readings show if this one is over."""
        self.touched = True
        if activity.beneath[event_id] == "cleared":
            self.end_event(event_id, activity.timestamp)

    def end_event(self, event_id: UUID, at: datetime, why: str | None = None) -> None:
        """End an event; with the last one of its own, the incident is cleared.

        Parameters
        ----------
        event_id : UUID
            One that is not open is passed over.
        at : datetime
            When it was over.
        why : str, optional
            Noted in the log if the incident clears by it.
        """
        if event_id not in self.open_events:
            return
        self.open_events.discard(event_id)
        started = self.events.get(event_id, (self.started_at, None))[0]
        self.events[event_id] = (started, at)
        if not self.open_events and self.cleared_at is None:
            self.clear(at, why)

    def clear(self, at: datetime, why: str | None = None) -> None:
        """Clear it; nothing of it is left that could be suppressed."""
        self.touched = True
        self.change("cleared", SYSTEM, at=at, why=why, cleared_at=at, suppressed_by=None)


COLUMNS: Final = tuple(f.name for f in fields(Incident) if f.metadata.get("row", True))
