"""Model an incident and how readings change it. Pure, so that tests need no server.

The service decides what an event is and whether it opens an incident (``metadata.event``); this
module records it. Every change of state is one log entry and raises ``version``, regardless of how
readings are divided into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final
from uuid import UUID

from db.incident_activity import Activity
from schemas import SEVERITIES, StreamKey, stream_key

#: Author of changes that no person makes.
SYSTEM: Final = "system"
#: Column values of an incident that is not shelved.
UNSHELVED: Final[dict[str, Any]] = dict.fromkeys(("shelved_until", "shelved_by", "shelve_reason"))
#: Column values of an incident that is not closed.
UNCLOSED: Final[dict[str, Any]] = dict.fromkeys(
    ("closed_at", "closed_by", "verdict", "fault_code", "note")
)
#: Default of REOPEN_GAP_S: the larger of this many seconds and this many intervals of the stream.
GAP_S: Final = 600.0
GAP_INTERVALS: Final = 20
#: Readings used to estimate a stream's interval; a single pause does not change the median.
RECENT: Final = 6


def reopen_gap(reopen_gap_s: float, interval_s: float) -> float:
    """Return the seconds after its end within which an incident may continue."""
    return reopen_gap_s or max(GAP_S, GAP_INTERVALS * interval_s)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One change of an incident."""

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
    """A row of ``incidents``, its open events, and its unwritten changes."""

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
    touched: bool = field(default=False, metadata={"row": False})  # changed by a reading

    @property
    def stream(self) -> StreamKey:
        """Return the key of the stream."""
        return stream_key(self.asset_id, self.sensor_id, self.feature)

    @property
    def quiet(self) -> bool:
        """Return whether notifications are muted now."""
        return self.suppressed_by is not None or self.shelved_until is not None

    @property
    def reopened_by(self) -> str | None:
        """Return what of the unwritten changes reopened it; None: nothing did."""
        return next((e.what for e in self.log if e.before.get("closed_at") is not None), None)

    @property
    def lost_verdict(self) -> bool:
        """Return whether the unwritten changes took away a verdict."""
        return any(e.before.get("verdict") is not None for e in self.log)

    def row(self) -> dict[str, Any]:
        """Return the columns."""
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
        """Set columns and log the change; return whether anything changed.

        Parameters
        ----------
        at : datetime, optional
            A reading's time; None: now, by the server's clock.
        always : bool
            Log it even if no column changes, as for a comment.
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
        """Log a comment, which does not raise the version.

        Parameters
        ----------
        who, why : str
            Author and text.
        token : str or None
            The caller's idempotency key.
        """
        entry = LogEntry(self.id, self.version, who, "commented", None, why, {}, {}, token)
        self.log.append(entry)
        return True

    # -- readings -------------------------------------------------------------------------------

    @classmethod
    def opened(cls, activity: Activity) -> Incident:
        """Open an incident for an event."""
        row, at = activity.row, activity.timestamp
        same = ("asset_id", "sensor_id", "feature", "group_name", "asset_criticality")
        incident = cls(
            **{name: row[name] for name in same},
            id=activity.event_id,
            kind=activity.kind,
            severity=activity.severity,
            opened_at=at,
            started_at=min(activity.started_at, at),  # a late reading may open it
            last_activity_at=at,
            event_id=activity.event_id,
        )
        incident.change("opened", SYSTEM, at=at, always=True, severity=activity.severity)
        incident._has(activity)
        return incident

    def joinable(self, activity: Activity, gap_s: float) -> bool:
        """Return whether a new event of the stream and kind continues this incident.

        A persistent incident is never continued: an event on top of it opens another one.
        """
        if self.closed_at is not None:
            return False
        if self.cleared_at is None:
            return not self.persistent
        gap = timedelta(seconds=reopen_gap(gap_s, self._interval()))
        return activity.timestamp - self.cleared_at <= gap

    def lately_active(self, activity: Activity, gap_s: float) -> bool:
        """Return whether a new event of its kind would join if this one were over."""
        gap = timedelta(seconds=reopen_gap(gap_s, self._interval()))
        over = self.closed_at is not None or self.persistent
        return not over and activity.timestamp - self.last_activity_at <= gap

    def _interval(self) -> float:
        steps = [b - a for a, b in zip(self.recent, self.recent[1:], strict=False)]
        return max(0.0, median(steps)) if steps else 0.0

    def join(self, activity: Activity, gap_s: float) -> None:
        """Add a new event to the incident; that is no change if another kind interrupted it."""
        if self.cleared_at is None and self.lately_active(activity, gap_s):
            self.event_id = activity.event_id
        else:
            over: dict[str, Any] = {"persistent": False} if self.persistent else {}
            self.change(
                "joined", SYSTEM, at=activity.timestamp,
                event_id=activity.event_id, cleared_at=None, **over,
            )  # fmt: skip
        self._has(activity)

    def _has(self, activity: Activity) -> None:
        self.open_events.add(activity.event_id)
        self.events[activity.event_id] = (activity.started_at, None)

    def take(self, activity: Activity, *, ends: bool, gap_s: float = 0.0) -> bool:
        """Count one reading of an event of this incident; return whether that is news.

        It is if the severity rises, or if the event comes back after the incident was closed.

        Parameters
        ----------
        ends : bool
            Whether the reading may end the event, and begin or end suppression. Readings stored by
            the bridge may; readings journalled by REST may not.
        gap_s : float
            REOPEN_GAP_S.
        """
        again = ends and not activity.late and self._alarms_again(activity)
        reopens = self._comes_back(activity, gap_s) or (
            ends and (self._is_still_there(activity) or (again and self.closed_at is not None))
        )
        self.touched = True
        self.readings += 1
        self.bundle_version = activity.row["bundle_version"]
        self.group_name = activity.row["group_name"]  # a new champion may have other groups
        if ends:  # a reading over REST may name a criticality of its own
            self.asset_criticality = activity.row["asset_criticality"]
        if reopens:
            # that it got worse reopens a closed one, since this also withdraws the verdict
            unclosed = {} if self._gets_worse(activity) else UNCLOSED
            stays = "the verdict on the time before stays" if unclosed and self.verdict else None
            self._resume(
                activity, stays,
                acknowledged_at=None, acknowledged_by=None, suppressed_by=None, **unclosed,
            )  # fmt: skip
        if activity.persistent and activity.state != "cleared":
            self._lasts(activity)
        if again:
            what, why = "no longer persistent", "another model version does not know the new level"
            self.change(what, SYSTEM, at=activity.timestamp, why=why, persistent=False)
        if ends and not activity.late:  # what it was then, and not what it is now
            self.recent = [*self.recent, activity.timestamp.timestamp()][-RECENT:]
            # of a closed one, an anomaly tells whether its fault is still there afterwards
            waits = self.closed_at is not None and not (activity.suppressed or activity.anomalous)
            if activity.suppressed != self.suppressed_by and not waits:
                what = "suppressed" if activity.suppressed else "unsuppressed"
                at = activity.timestamp
                self.change(what, SYSTEM, at=at, suppressed_by=activity.suppressed)
        rises = activity.anomalous and self._anomaly(activity)
        if ends and activity.state == "cleared":
            self.end_event(activity.event_id, self._end_at(activity))
        return rises or reopens

    def _comes_back(self, activity: Activity, gap_s: float) -> bool:
        """Return whether a reading shows that a closed incident is not over after all.

        Silence has cleared it, and its event goes on so much later that a new event would not join
        it. Unless a person closed it, any reading does.
        """
        if self.closed_at is None or self.cleared_at is None or activity.state == "cleared":
            return False
        if self.closed_by == SYSTEM:
            return activity.anomalous or activity.persistent
        gap = timedelta(seconds=reopen_gap(gap_s, self._interval()))
        silent = activity.timestamp - self.last_activity_at
        return activity.anomalous and not self.persistent and silent > gap

    def _is_still_there(self, activity: Activity) -> bool:
        """Return whether a closed incident's fault outlasts maintenance, or the machine being off.

        A fault that began then would open an incident now.
        """
        over = self.suppressed_by is not None and activity.suppressed is None
        counts = activity.anomalous and not (activity.late or activity.persistent)
        return self.closed_at is not None and over and counts

    def _lasts(self, activity: Activity) -> None:
        """Record that the event is persistent, and continues although no reading alarms."""
        self.change("persistent", SYSTEM, at=activity.timestamp, persistent=True)
        if self.closed_at is None:
            self._resume(activity)

    def _alarms_again(self, activity: Activity) -> bool:
        """Return whether the event is an ordinary one again: another bundle knows no such level.

        Somebody may have closed the incident just before, so that no bundle has learnt that the
        level is normal. Then an anomaly shows it, since nobody would see that the readings alarm.
        """
        goes_on = activity.event_id == self.event_id and activity.state != "cleared"
        if not (self.persistent and goes_on) or activity.persistent or activity.unkeyed:
            return False
        return self.closed_at is None or (activity.anomalous and activity.suppressed is None)

    def _resume(self, activity: Activity, why: str | None = None, **values: Any) -> None:
        if self.cleared_at is not None or values:  # silence cleared it, but the event continues
            at = activity.timestamp
            self.change("resumed", SYSTEM, at=at, why=why, cleared_at=None, **values)
            self._has(activity)

    def _anomaly(self, activity: Activity) -> bool:
        at = activity.timestamp
        self.anomalies += 1
        self.last_activity_at = max(self.last_activity_at, at)
        self._resume(activity)
        self._keep_peak(activity)
        if not self._gets_worse(activity):
            return False
        # A higher severity invalidates people's earlier decision.
        self.change(
            "escalated", SYSTEM, at=at, severity=activity.severity,
            acknowledged_at=None, acknowledged_by=None, **UNCLOSED,
        )  # fmt: skip
        return True

    def _gets_worse(self, activity: Activity) -> bool:
        higher = SEVERITIES.index(activity.severity) > SEVERITIES.index(self.severity)
        return activity.anomalous and higher

    def _keep_peak(self, activity: Activity) -> None:
        """Keep the higher peak; only then parse the reading's long explanation."""
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
        """Continue while another event occurs on top; its readings show when this one is over."""
        self.touched = True
        if activity.beneath[event_id] == "cleared":
            self.end_event(event_id, self._end_at(activity))

    def _end_at(self, activity: Activity) -> datetime:
        """Return when an event ends: a reset ends it at a reading that may be older than itself."""
        at = activity.timestamp
        return max(at, self.last_activity_at) if activity.late else at

    def end_event(self, event_id: UUID, at: datetime, why: str | None = None) -> None:
        """End an event; with its last event the incident is cleared.

        Parameters
        ----------
        event_id : UUID
            Ignored if it is not open.
        at : datetime
            Time of the end.
        why : str, optional
            Logged if this clears the incident.
        """
        if event_id not in self.open_events:
            return
        self.event_over(event_id, at)
        if not self.open_events and self.cleared_at is None:
            self.clear(at, why)

    def event_over(self, event_id: UUID, at: datetime) -> None:
        """Note the end of an event; the incident may go on."""
        self.open_events.discard(event_id)
        # a stored event keeps the start that is stored
        started = self.events.get(event_id, (self.started_at, None))[0]
        self.events[event_id] = (started, at)

    def clear(self, at: datetime, why: str | None = None) -> None:
        """Clear the incident and its suppression."""
        self.touched = True
        self.change("cleared", SYSTEM, at=at, why=why, cleared_at=at, suppressed_by=None)


COLUMNS: Final = tuple(f.name for f in fields(Incident) if f.metadata.get("row", True))
