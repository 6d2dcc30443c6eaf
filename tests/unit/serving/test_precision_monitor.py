"""The precision that ``/status`` shows."""

from __future__ import annotations

import asyncio
from typing import Any

from db.queries.feedback import PRECISION_DAYS
from serving.precision_monitor import PrecisionMonitor


class Counts:
    """A database in which people confirmed three incidents of four."""

    available = True

    async def run(self, _: Any) -> dict[str, tuple[int, int]]:
        return {"default": (3, 1), "pumps": (0, 2)}


def test_the_share_of_confirmed_incidents_is_known_after_the_first_look() -> None:
    async def scenario() -> dict[str, Any]:
        monitor = PrecisionMonitor(Counts())  # type: ignore[arg-type]
        assert monitor.known() == {"days": PRECISION_DAYS, "groups": {}}
        assert monitor._task is not None
        await monitor._task
        groups: dict[str, Any] = monitor.known()["groups"]
        return groups

    groups = asyncio.run(scenario())
    assert groups["default"] == {"confirmed": 3, "false_alarms": 1, "precision": 0.75}
    assert groups["pumps"]["precision"] == 0.0
