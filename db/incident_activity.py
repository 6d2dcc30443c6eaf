"""Read what a stored reading says of the event it belongs to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from db.encoding import JsonText
from errors import InputError
from schemas import SEVERITIES, StreamKey, parse_timestamp, stream_key

#: Maximum features in an incident's peak.
TOP_FEATURES: Final = 10


@dataclass(frozen=True, slots=True)
class Activity:
    """One reading of an event, from its row of ``anomaly_detections``.

    ``opens`` is false while the event is too short or too small for an incident (on-delay).
    ``why`` is the reason of opening: ``at_once``, ``on_delay`` or, without a rule, ``event``.
    ``affected_by_feedback``: reported false alarms raised the required peak. ``suppressed`` names
    the maintenance window or other reason for muting. ``late`` and ``not_scored`` are the result's
    own: unless it is an anomaly, such a reading does not tell which events the stream has by now.
    ``beneath`` are the states, by id, of persistent events that this event occurs on top of.
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
    late: bool = False
    not_scored: bool = False
    affected_by_feedback: bool = False
    beneath: Mapping[UUID, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Activity | None:
        """Read a row as a reading of an event; None if it belongs to no event.

        Raises
        ------
        InputError
            ``unprocessable``: the event has an unknown form.
        """
        metadata = row["metadata"]
        event = metadata.get("event")
        if not event:
            return None
        try:
            decided = event.get("incident") or {}
            SEVERITIES.index(row["criticality"])  # raises unless it is a severity
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
                late=bool(metadata.get("late")),
                not_scored=bool(metadata.get("not_scored")),
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
        """Return the key of the stream."""
        return stream_key(self.row["asset_id"], self.row["sensor_id"], self.row["feature"])

    @property
    def anomalous(self) -> bool:
        """Return whether it is an anomaly; an event's other readings only prolong it."""
        return bool(self.row["is_anomaly"])

    @property
    def severity(self) -> str:
        """Return the severity of the reading."""
        return str(self.row["criticality"])

    @property
    def log10_p(self) -> float | None:
        """Return the reading's log10 p, if known."""
        p = self.row.get("p")
        return math.log10(p) if p else None

    def peak(self) -> dict[str, Any]:
        """Describe the reading as an incident's peak."""
        explanation = self.row["metadata"].get("explanation")
        if isinstance(explanation, JsonText):
            explanation = explanation.value()  # parsed once, because it is long
        explanation = explanation or {}
        seasons = explanation.get("seasons")
        affected = {"affected_by_feedback": True} if self.affected_by_feedback else {}
        return {
            **affected,
            "score": self.row["final_score"],
            "log10_p": self.log10_p,
            "timestamp": self.timestamp.isoformat(),
            "features": [
                {"feature": one.get("feature"), "share": one.get("share"),
                 "actual": one.get("value"), "expected": one.get("expected"),
                 **{key: one[key] for key in ("per", "repeated", "no_value_since") if one.get(key)}}
                for one in explanation.get("features", ())[:TOP_FEATURES]
            ],
            **({"seasons": seasons} if seasons else {}),
            "votes": explanation.get("votes", {}),
            "detection_id": str(self.row["id"]),
        }  # fmt: skip


def _suppressed(given: Any) -> str | None:
    if isinstance(given, Mapping):
        given = " ".join(str(given[name]) for name in ("by", "window") if given.get(name))
    return str(given)[:255] if given else None
