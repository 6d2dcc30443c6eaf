"""What ``/status`` shows: one group's trouble is not the others', nor the next look's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from db.queries.feedback import PRECISION_DAYS
from models.bundles.bundle import Bundle
from serving import monitors
from serving.monitors import DriftMonitor, Monitor, PrecisionMonitor
from tests.fixtures.asgi import no_database
from training.simulate import Plant


class Rows:
    """A database that has the same newest readings for every group."""

    available = True

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    async def run(self, *_: Callable[..., Any], **__: object) -> list[Any]:
        return self._rows


async def looked(watch: DriftMonitor) -> None:
    assert watch._task is not None
    await watch._task


def test_a_group_that_cannot_be_compared_ends_nothing(
    bundle: Bundle, plant: Plant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = bundle.model_set("default")
    damaged = SimpleNamespace(profile={name: {"edges": "none"} for name in good.feature_names})
    three = SimpleNamespace(
        version="1",
        groups=["a", "broken", "z"],
        model_set=lambda group: damaged if group == "broken" else good,
    )
    values = [dict(zip(plant.feature_names, row, strict=True)) for row in plant.values[0].tolist()]
    rows = [(features, {"final_score": 0.1}) for features in values]
    monkeypatch.setattr(monitors, "DRIFT_FRESH_S", -1.0)

    async def scenario() -> None:
        watch = DriftMonitor(Rows(rows))  # type: ignore[arg-type]
        for _ in range(2):
            watch.known(three)  # type: ignore[arg-type]
            await looked(watch)
        assert set(watch.known(three)) == {"a", "z"}  # type: ignore[arg-type]
        await looked(watch)

    asyncio.run(scenario())
    assert "drift of group broken cannot be computed" in caplog.text


@pytest.mark.parametrize(("fresh_s", "looks"), [(60.0, 1), (-1.0, 2)])
def test_a_monitor_looks_again_once_what_is_known_is_old(fresh_s: float, looks: int) -> None:
    database = no_database()
    monitor = Monitor(database, "weather", fresh_s)
    found: list[int] = []

    async def look() -> None:
        found.append(len(found))

    async def scenario() -> None:
        monitor.refresh(look)
        await asyncio.sleep(0)
        assert not found  # without the database nobody looks
        database._down = False
        for _ in range(2):
            monitor.refresh(look)
            monitor.refresh(look)  # one look at a time
            assert monitor._task is not None
            await monitor._task

    asyncio.run(scenario())
    assert len(found) == looks


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
