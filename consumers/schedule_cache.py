"""What people planned and asked for, as the bridge hands it to the service."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from schemas import StreamKey

log = logging.getLogger("consumers.bridge")

#: The field of a request that is one window or condition.
_PLAN: Final = re.compile(r"(maintenance_windows|off_conditions)\[(\d+)\]")


@dataclass(slots=True)
class Schedules:
    """Maintenance windows, machine-off conditions, resets and feedback, as the database had them.

    Parameters
    ----------
    windows, off_conditions : as ``/detect/streams`` takes them.
    false_alarms : how many were reported lately, by asset.
    closed_events : persistent ones whose incidents people closed, by stream.
    refused : windows and conditions that the service does not take, as JSON. Such a row was written
        by plain SQL, and would have every request refused.
    """

    windows: list[dict[str, Any]] = field(default_factory=list)
    off_conditions: list[dict[str, Any]] = field(default_factory=list)
    false_alarms: Mapping[str, int] = field(default_factory=dict)
    closed_events: Mapping[StreamKey, list[str]] = field(default_factory=dict)
    _resets: dict[tuple[str, str | None], int] = field(default_factory=dict)
    newest_reset: datetime | None = None
    refused: set[bytes] = field(default_factory=set)

    def renewed(
        self,
        windows: list[dict[str, Any]],
        off_conditions: list[dict[str, Any]],
        resets: Iterable[dict[str, Any]],
        false_alarms: Mapping[str, int],
        closed_events: Mapping[StreamKey, list[str]],
    ) -> Schedules:
        """Join what was read now, and the resets known with those of the rows.

        Parameters
        ----------
        windows, off_conditions
            All of them, as ``/detect/streams`` takes them.
        resets
            Rows since :attr:`newest_reset`.
        false_alarms : {asset_id: count}
        closed_events : {stream: ids}
            Persistent events whose incidents people closed.
        """
        known, newest = dict(self._resets), self.newest_reset
        for row in resets:
            key = row["asset_id"], row["sensor_id"]
            known[key] = max(known.get(key, 0), row["id"])
            newest = row["requested_at"] if newest is None else max(newest, row["requested_at"])
        if self.refused:
            self.refused.intersection_update(map(orjson.dumps, [*windows, *off_conditions]))
        return Schedules(
            windows, off_conditions, false_alarms, closed_events, known, newest, self.refused
        )

    def reset(self, key: StreamKey) -> int:
        """Find the newest reset that concerns a stream, 0 for none; the service applies it once."""
        asset, sensor, _ = key
        return max(self._resets.get((asset, None), 0), self._resets.get((asset, sensor), 0))

    def concerning(self, first: datetime, last: datetime) -> dict[str, Any]:
        """Select what goes into a request with readings between two times."""
        windows = [
            one
            for one in self._taken(self.windows)
            if one["start"] <= last and ("rrule" in one or one["end"] > first)
        ]
        conditions = self._taken(self.off_conditions)
        plans = {"maintenance_windows": windows, "off_conditions": conditions}
        return {name: found for name, found in plans.items() if found}

    def _taken(self, plans: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if not self.refused:
            return plans
        return [one for one in plans if orjson.dumps(one) not in self.refused]

    def leave_out(self, body: bytes, field: str | None, why: str) -> bool:
        """Leave a window or condition out of every request from now on, which is logged once.

        Parameters
        ----------
        body : bytes
            The request that the service refused.
        field : str or None
            What of it the service named.
        why : str
            Its message.

        Returns
        -------
        bool
            Whether it was one: the request can be made again without it.
        """
        found = _PLAN.match(field or "")
        plans = orjson.loads(body).get(found[1], []) if found else []
        if found is None or int(found[2]) >= len(plans):
            return False
        plan = orjson.dumps(plans[int(found[2])])
        if plan not in self.refused:
            self.refused.add(plan)
            log.error(
                "%s of the database: %s is left out (%s)", found[1], plan.decode(), why,
                extra={"action": "plan_refused"},
            )  # fmt: skip
        return True
