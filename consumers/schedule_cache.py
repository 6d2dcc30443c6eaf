"""Hold maintenance windows, conditions, resets and feedback in the form the service takes."""

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

#: The field of a request that names one window or condition.
_PLAN: Final = re.compile(r"(maintenance_windows|off_conditions)\[(\d+)\]")


@dataclass(slots=True)
class Schedules:
    """Maintenance windows, machine-off conditions, resets and feedback, as read from the database.

    Parameters
    ----------
    windows, off_conditions : in the form of ``/detect/streams``.
    false_alarms : number of recently reported ones, by asset.
    closed_events : persistent events whose incidents people closed, by stream.
    newest_reset : the known reset with the highest id: its id, and when it was requested.
    refused : windows and conditions that the service rejects, as JSON. Somebody wrote such a row
        by plain SQL; left in, it would make the service reject every request.
    """

    windows: list[dict[str, Any]] = field(default_factory=list)
    off_conditions: list[dict[str, Any]] = field(default_factory=list)
    false_alarms: Mapping[str, int] = field(default_factory=dict)
    closed_events: Mapping[StreamKey, list[str]] = field(default_factory=dict)
    _resets: dict[tuple[str, str | None], int] = field(default_factory=dict)
    newest_reset: tuple[int, datetime] | None = None
    refused: set[bytes] = field(default_factory=set)

    def renewed(
        self,
        windows: list[dict[str, Any]],
        off_conditions: list[dict[str, Any]],
        resets: Iterable[dict[str, Any]],
        false_alarms: Mapping[str, int],
        closed_events: Mapping[StreamKey, list[str]],
    ) -> Schedules:
        """Return new schedules: the rows read now, and the known resets plus the new ones.

        Parameters
        ----------
        windows, off_conditions
            All of them, in the form of ``/detect/streams``.
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
            if newest is None or row["id"] > newest[0]:
                newest = row["id"], row["requested_at"]
        if self.refused:
            self.refused.intersection_update(map(orjson.dumps, [*windows, *off_conditions]))
        return Schedules(
            windows, off_conditions, false_alarms, closed_events, known, newest, self.refused
        )

    def reset(self, key: StreamKey) -> int:
        """Return the newest reset of a stream, 0 if none; the service applies each reset once."""
        asset, sensor, _ = key
        return max(self._resets.get((asset, None), 0), self._resets.get((asset, sensor), 0))

    def concerning(self, first: datetime, last: datetime) -> dict[str, Any]:
        """Return the schedules that concern a request with readings between two times."""
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
        """Remove a rejected window or condition from all later requests, and log it once.

        Parameters
        ----------
        body : bytes
            The rejected request.
        field : str or None
            The field named by the service's error.
        why : str
            The error's message.

        Returns
        -------
        bool
            True if the field is a window or condition: the request can be sent again without it.
        """
        found = _PLAN.match(field or "")
        plans = orjson.loads(body).get(found[1], []) if found else []
        if found is None or int(found[2]) >= len(plans):
            return False
        plan = orjson.dumps(plans[int(found[2])])
        if plan not in self.refused:
            self.refused.add(plan)
            log.error(
                "%s of the database: %s is invalid and ignored (%s)", found[1], plan.decode(), why,
                extra={"action": "plan_refused"},
            )  # fmt: skip
        return True
