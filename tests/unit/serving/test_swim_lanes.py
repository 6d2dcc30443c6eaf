"""The fleet's lanes: what is over is read once, what may change again."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.queries.fleet import Cell
from errors import InputError
from serving import added_readings, swim_lanes
from serving.swim_lanes import SwimLanes

STEP = 3600
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class Stored:
    """A database whose readings are these cells, by asset and step since 1970."""

    available = True

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cells: dict[str, dict[int, Cell]]) -> None:
        self.asked: list[tuple[int, int]] = []

        def fleet_cells(_: object, start: datetime, end: datetime, step_s: int) -> dict[str, Any]:
            first, last = (int(at.timestamp()) // step_s for at in (start, end))
            self.asked.append((first, last))
            return {
                asset: [
                    cell._replace(at=at - first) for at, cell in by.items() if first <= at < last
                ]
                for asset, by in cells.items()
            }

        monkeypatch.setattr(swim_lanes, "fleet_cells", fleet_cells)
        known = [{"asset_id": name, "last_at": None} for name in ("A", "SILENT")]
        monkeypatch.setattr(swim_lanes, "fleet_assets", lambda _: known)
        self.positions: list[Any] = []
        found = lambda _, since: (since, self.positions)  # noqa: E731
        monkeypatch.setattr(added_readings, "stream_positions", found)

    async def run(self, call: Any, *args: Any) -> Any:
        return call(None, *args)


def at(when: datetime) -> int:
    return int(when.timestamp()) // STEP


def test_lanes_have_the_steps_of_their_span_and_steps_that_are_over_are_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = {
        "A": {
            at(LONG_AGO): Cell(0, 0.2, "normal", None),
            at(LONG_AGO) + 2: Cell(0, 0.95, "anomaly", 0.95),
        }
    }
    stored = Stored(monkeypatch, cells)
    lanes = SwimLanes(stored)  # type: ignore[arg-type]
    end = LONG_AGO + timedelta(hours=3)
    for _ in range(2):
        fleet = asyncio.run(lanes.fleet(LONG_AGO + timedelta(minutes=5), end, STEP))
        assert (fleet.start, fleet.end, fleet.step_s) == (LONG_AGO, end, STEP)
        a, silent = fleet.assets
        assert (a.states, a.scores) == (["normal", "silent", "anomaly"], [0.2, None, 0.95])
        assert a.severities == [None, None, "critical"]
        assert silent.states == ["silent"] * 3
    assert stored.asked == [(at(LONG_AGO), at(LONG_AGO) + 3)]
    asyncio.run(lanes.fleet(LONG_AGO - timedelta(hours=1), end, STEP))
    assert stored.asked[1:] == [(at(LONG_AGO) - 1, at(LONG_AGO))]  # only what is missing


def test_the_step_that_is_under_way_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swim_lanes, "FRESH_S", -1.0)
    stored = Stored(monkeypatch, {})
    lanes = SwimLanes(stored)  # type: ignore[arg-type]
    now = datetime.fromtimestamp(time.time(), UTC)
    for _ in range(2):
        asyncio.run(lanes.fleet(now - timedelta(hours=5), now, STEP))
    assert len(stored.asked) == 2
    first, again = stored.asked
    assert first[1] == again[1]
    assert again[1] - again[0] < first[1] - first[0]


def test_steps_that_a_bridge_fills_later_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was down for two hours, and catches up; nobody is to see the asset as silent meanwhile."""
    cells: dict[str, dict[int, Cell]] = {"A": {}}
    stored = Stored(monkeypatch, cells)
    lanes = SwimLanes(stored)  # type: ignore[arg-type]
    end = LONG_AGO + timedelta(hours=4)

    def states() -> list[str]:
        fleet = asyncio.run(lanes.fleet(LONG_AGO, end, STEP))
        return list(fleet.assets[0].states)

    stored.positions = [("s", LONG_AGO + timedelta(minutes=30))]
    assert states() == ["silent"] * 4
    cells["A"] = {at(LONG_AGO) + n: Cell(0, 0.1, "normal", None) for n in range(3)}
    assert states() == ["silent"] * 4  # nothing was stored
    stored.positions = [("s", LONG_AGO + timedelta(hours=2, minutes=30))]
    assert states() == ["normal"] * 3 + ["silent"]
    assert stored.asked == [(at(LONG_AGO), at(LONG_AGO) + n) for n in (4, 3)]
    cells["A"][at(LONG_AGO) + 3] = Cell(0, 0.1, "normal", None)
    stored.positions = [("new", LONG_AGO + timedelta(hours=3, minutes=30))]
    assert states() == ["normal"] * 4


def test_what_was_read_longest_ago_is_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swim_lanes, "MAX_KEPT", 2)
    cells = {"A": {at(LONG_AGO) + n: Cell(0, 0.1, "normal", None) for n in range(4)}}
    stored = Stored(monkeypatch, cells)
    lanes = SwimLanes(stored)  # type: ignore[arg-type]
    for hour in range(4):
        start = LONG_AGO + timedelta(hours=hour)
        asyncio.run(lanes.fleet(start, start + timedelta(hours=1), STEP))
    assert sorted(step for _, step in lanes._kept) == [at(LONG_AGO) + 2, at(LONG_AGO) + 3]


@pytest.mark.parametrize(
    ("start", "end", "step", "field"),
    [
        (LONG_AGO, LONG_AGO + timedelta(days=1), 59, "step"),
        (LONG_AGO, LONG_AGO + timedelta(seconds=60 * 501), 60, "step"),
        (datetime.max.replace(tzinfo=UTC) - timedelta(hours=1), datetime.max.replace(tzinfo=UTC),
         STEP, "end_date"),
    ],
)  # fmt: skip
def test_too_many_steps_and_those_beyond_the_calendar_are_refused(
    monkeypatch: pytest.MonkeyPatch, start: datetime, end: datetime, step: int, field: str
) -> None:
    lanes = SwimLanes(Stored(monkeypatch, {}))  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        asyncio.run(lanes.fleet(start, end, step))
    assert caught.value.field == field


def test_an_answer_for_many_assets_has_fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swim_lanes, "MAX_CELLS", 9)
    lanes = SwimLanes(Stored(monkeypatch, {"B": {at(LONG_AGO): Cell(0, 0.2, "normal", None)}}))  # type: ignore[arg-type]
    fleet = asyncio.run(lanes.fleet(LONG_AGO, LONG_AGO + timedelta(hours=3), STEP))
    assert [one.asset_id for one in fleet.assets] == ["A", "B", "SILENT"]
    with pytest.raises(InputError, match="4 steps of 3 assets are too many; at most 3") as error:
        asyncio.run(lanes.fleet(LONG_AGO, LONG_AGO + timedelta(hours=4), STEP))
    assert error.value.field == "step"
