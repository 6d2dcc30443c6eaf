"""Group alarms into events: consecutive anomalies of a stream share one event id."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from models.scoring.state_values import FINITE, check

ANOMALY: Final = "anomaly"
SENSOR_FAULT: Final = "sensor_fault"

#: An event ends after this many consecutive normal readings, however short the silence ...
QUIET: Final = 120
#: ... and never before this many, however long the silence.
MIN_QUIET: Final = 5

_SPACE = uuid.UUID("8d0d1c6a-2f0b-5a57-9a0e-6c3f4a4f7b11")


def event_id(asset_id: str, sensor_id: str | None, feature: str | None, kind: str, at: str) -> str:
    """Return a deterministic event id for a stream, kind and opening time.

    Parameters
    ----------
    asset_id, sensor_id, feature
        The stream.
    kind
        Kind of anomaly.
    at
        When the event opened, ISO 8601.
    """
    parts = [asset_id, sensor_id or "", feature or "", kind, at]
    return str(uuid.uuid5(_SPACE, "\x1f".join(parts)))


@dataclass(slots=True)
class Event:
    """An open event of one stream, as its state stores it."""

    id: str
    kind: str
    started_at: str
    peak: float
    last: float  # epoch seconds of its newest anomaly
    quiet: int = 0

    def over(self, at: float, silence_s: float) -> bool:
        """Return whether a normal reading at time ``at`` ends the event."""
        if self.quiet >= QUIET:
            return True
        return self.quiet >= MIN_QUIET and at - self.last > silence_s

    def entry(self, state: str) -> dict[str, Any]:
        """Return the event for a result's metadata."""
        return {
            "id": self.id,
            "kind": self.kind,
            "started_at": self.started_at,
            "state": state,
            "peak": round(self.peak, 3),
        }

    def to_list(self) -> list[Any]:
        """Return the event ready for JSON, exactly."""
        return [self.id, self.kind, self.started_at, self.peak, self.last, self.quiet]

    @classmethod
    def from_list(cls, data: Any) -> Event:
        """Read what :meth:`to_list` returned; a missing ``quiet`` is 0.

        Raises
        ------
        ValueError, TypeError
            ``data`` is not a stored event.
        """
        id, kind, started_at, peak, last, *rest = data
        quiet = rest[0] if rest else 0
        for text in (id, kind, started_at):
            if not isinstance(text, str):
                raise ValueError(f"event: {text!r:.40} is not text")
        datetime.fromisoformat(started_at)
        check("event", (peak, last, quiet), FINITE)
        return cls(id, kind, started_at, float(peak), float(last), int(quiet))


def advance(
    event: Event | None,
    *,
    anomalous: bool,
    kind: str,
    magnitude: float,
    at: datetime,
    silence_s: float,
    stream: tuple[str, str | None, str | None],
) -> tuple[Event | None, dict[str, Any] | None]:
    """Apply one reading to the stream's event.

    Parameters
    ----------
    event
        Event that was open before this reading; None if none was.
    anomalous, kind, magnitude
        Whether the reading is an anomaly, the kind of anomaly, and its magnitude in decades.
    at
        Time of the reading.
    silence_s
        Seconds without an anomaly after which the event ends.
    stream : (asset_id, sensor_id, feature)
        Part of the id of a new event.

    Returns
    -------
    (event, entry) : the event open after this reading, and the entry for the reading's metadata.
    """
    now = at.timestamp()
    if event is not None and anomalous:
        silent = now - event.last > silence_s and event.quiet >= MIN_QUIET
        if silent or event.kind != kind:  # another kind of anomaly is another event
            event = None
    if event is None:
        if not anomalous:
            return None, None
        started = at.isoformat()
        event = Event(event_id(*stream, kind, started), kind, started, magnitude, now)
        return event, event.entry("opened")
    if anomalous:
        event.quiet = 0
        event.last = max(event.last, now)  # a late reading must not move it back
        event.peak = max(event.peak, magnitude)
        return event, event.entry("ongoing")
    event.quiet += 1
    if event.over(now, silence_s):
        return None, event.entry("cleared")
    return event, event.entry("ongoing")
