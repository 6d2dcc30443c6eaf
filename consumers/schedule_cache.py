"""What people planned and asked for, as the bridge hands it to the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from consumers.stream_cache import StreamKey
from schemas import parse_timestamp


@dataclass(slots=True)
class Schedules:
    """Maintenance windows, machine-off conditions, resets and feedback, as the database had them.

    Parameters
    ----------
    windows, off_conditions : as ``/detect/streams`` takes them.
    false_alarms : how many were reported lately, by asset.
    closed_events : persistent ones whose incidents people closed, by stream.
    """

    windows: list[dict[str, Any]] = field(default_factory=list)
    off_conditions: list[dict[str, Any]] = field(default_factory=list)
    false_alarms: Mapping[str, int] = field(default_factory=dict)
    closed_events: Mapping[StreamKey, list[str]] = field(default_factory=dict)
    _resets: dict[tuple[str, str | None], int] = field(default_factory=dict)
    newest_reset: datetime | None = None

    def renewed(
        self,
        windows: list[dict[str, Any]],
        off_conditions: list[dict[str, Any]],
        resets: Iterable[dict[str, Any]],
        false_alarms: Mapping[str, int],
        closed_events: Mapping[StreamKey, list[str]],
    ) -> Schedules:
        """Join what was read now, and the resets known with those of the rows."""
        known, newest = dict(self._resets), self.newest_reset
        for row in resets:
            key = row["asset_id"], row["sensor_id"]
            known[key] = max(known.get(key, 0), row["id"])
            newest = row["requested_at"] if newest is None else max(newest, row["requested_at"])
        return Schedules(windows, off_conditions, false_alarms, closed_events, known, newest)

    def reset(self, key: StreamKey) -> int:
        """Find the newest reset that concerns a stream, 0 for none; the service applies it once."""
        asset, sensor, _ = key
        return max(self._resets.get((asset, None), 0), self._resets.get((asset, sensor), 0))

    def concerning(self, first: datetime, last: datetime) -> dict[str, Any]:
        """Select what goes into a request with readings between two times."""
        windows = [one for one in self.windows if _may_touch(one, first, last)]
        out: dict[str, Any] = {}
        if windows:
            out["maintenance_windows"] = windows
        if self.off_conditions:
            out["off_conditions"] = self.off_conditions
        return out


def _may_touch(window: dict[str, Any], first: datetime, last: datetime) -> bool:
    if parse_timestamp(window["start"]) > last:
        return False
    return "rrule" in window or parse_timestamp(window["end"]) > first
