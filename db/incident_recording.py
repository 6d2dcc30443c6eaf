"""Update incidents in the transaction that stores their readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection

from config import Settings
from db.feedback_actions import withdraw_closing
from db.incident_activity import Activity
from db.incident_lifecycle import SYSTEM, Incident
from db.queries.incident_rows import event_incidents, lock_concerned, write
from schemas import SEVERITIES, StreamKey

Row = Mapping[str, Any]


def record(
    connection: Connection,
    rows: Iterable[Row],
    settings: Settings,
    source: Literal["bridge", "rest"],
) -> list[Row]:
    """Apply readings to incidents.

    Parameters
    ----------
    rows : iterable of dict
        Rows of ``anomaly_detections``, each stream's in the order they were scored.
    source : {"bridge", "rest"}
        Readings of REST end no event, and open an incident only above INCIDENT_AT_ONCE.

    Returns
    -------
    list of dict
        The rows that opened or reopened an incident or raised its severity, unless it is shelved
        or suppressed.
    """
    found = [activity for row in rows if (activity := Activity.of(row)) is not None]
    if source == "rest":
        found = [activity for activity in found if activity.anomalous]
    if not found:
        return []
    recording = _Recording(connection, found, settings, source == "bridge")
    for activity in found:
        recording.take(activity)
    # the verdict was given on a milder incident
    if worse := [one for one in recording.incidents if one.reopened_by == "escalated"]:
        withdraw_closing(connection, worse, SYSTEM, "escalated")
    write(connection, recording.incidents, settings.kafka_topic_incidents)
    return recording.news


class _Recording:
    """The incidents of a batch of readings, and their changes."""

    def __init__(
        self, connection: Connection, found: Sequence[Activity], settings: Settings, live: bool
    ) -> None:
        streams = list(dict.fromkeys(activity.stream for activity in found))
        events = {activity.event_id for activity in found}
        kinds = {activity.kind for activity in found}
        self._settings = settings
        self._live = live
        self.incidents = lock_concerned(connection, streams, events, kinds)
        self.news: list[Row] = []
        by_id = {one.id: one for one in self.incidents}
        self._of_event: dict[UUID, Incident] = {
            event: by_id[incident]
            for event, incident in event_incidents(connection, events).items()
            if incident in by_id
        }
        self._of_stream: dict[StreamKey, list[Incident]] = {}
        for one in self.incidents:
            self._of_stream.setdefault(one.stream, []).append(one)

    def take(self, activity: Activity) -> None:
        """Apply one reading."""
        if self._live and not activity.unkeyed:
            self._end_others(activity)
        incident = self._of_event.get(activity.event_id)
        opened = False
        if incident is None:
            incident = self._begin(activity)
            if incident is None:
                return
            opened = incident.revision == 0 and incident.readings == 0
        gap_s = self._settings.reopen_gap_s
        news = incident.take(activity, ends=self._live, gap_s=gap_s)
        if (opened or news) and not incident.quiet:
            self.news.append(activity.row)

    def _end_others(self, activity: Activity) -> None:
        """End the stream's earlier events: it has one at a time, apart from persistent ones."""
        for other in self._of_stream.get(activity.stream, ()):
            for event in other.open_events - {activity.event_id}:
                if event in activity.beneath:
                    other.goes_on_beneath(event, activity)
                    continue
                if not activity.anomalous and (activity.late or activity.not_scored):
                    continue
                if other.kind == activity.kind and self._joins(other, activity):
                    other.event_over(event, activity.timestamp)
                elif not self._may_return(other, activity):
                    other.end_event(event, activity.timestamp, "another event followed")

    def _joins(self, incident: Incident, activity: Activity) -> bool:
        known = self._of_event.get(activity.event_id)
        if known is not None:
            return known is incident
        return self._starts(activity) and incident.joinable(activity, self._settings.reopen_gap_s)

    def _may_return(self, other: Incident, activity: Activity) -> bool:
        """Return whether an event that another kind interrupts may go on, so it is not over yet.

        A loose contact may send impossible values and odd ones in turn.
        """
        interrupted = other.kind != activity.kind and activity.state != "cleared"
        return interrupted and other.lately_active(activity, self._settings.reopen_gap_s)

    def _starts(self, activity: Activity) -> bool:
        return activity.anomalous and activity.opens and activity.suppressed is None

    def _opens_at_once(self, activity: Activity) -> bool:
        """Return whether a single reading opens an incident: by the service, else its severity."""
        if activity.why in (None, "event"):
            return SEVERITIES.index(activity.severity) >= SEVERITIES.index(
                self._settings.incident_at_once
            )
        return activity.why == "at_once"

    def _begin(self, activity: Activity) -> Incident | None:
        """Find or open the incident of an event that has none yet; None if it needs none."""
        if not self._starts(activity):
            return None
        severe = self._live or self._opens_at_once(activity)
        same = [
            one for one in self._of_stream.get(activity.stream, ()) if one.kind == activity.kind
        ]
        last = same[-1] if same else None
        if last is not None and last.joinable(activity, self._settings.reopen_gap_s):
            if not severe and last.cleared_at is not None:
                return None
            last.join(activity, self._settings.reopen_gap_s)
            self._of_event[activity.event_id] = last
            return last
        if not severe:
            return None
        incident = Incident.opened(activity)
        self.incidents.append(incident)
        self._of_stream.setdefault(activity.stream, []).append(incident)
        self._of_event[activity.event_id] = incident
        return incident
