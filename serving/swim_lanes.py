"""Compute the fleet over time, one lane per asset; steps in the past are cached.

A cached step is read again once readings were added to it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any, Final, Literal, cast

from msgspec import Meta
from sqlalchemy import Connection

from db.queries.fleet import Cell, CellState, fleet_assets, fleet_cells
from errors import InputError
from models.scoring.magnitudes.tail import criticality_of
from schemas import Criticality
from serving.added_readings import AddedReadings
from serving.database import Database
from serving.requests.wire import AssetId, Instant
from serving.responses.detection_answers import Score

SILENT: Final = "silent"
Step = Literal[CellState, "silent"]
#: Maximum number of steps in one answer.
MAX_STEPS: Final = 500
MIN_STEP_S: Final = 60
#: Maximum number of assets times steps in one answer: some 50 MB, for 50,000 assets over a day.
MAX_CELLS: Final = 2_500_000
#: Readings may arrive late: a step is read again until this long after its end.
LATE_S: Final = 600.0
#: Seconds until steps that may change are read again, and the others.
FRESH_S: Final = 5.0
KEPT_S: Final = 600.0
#: Maximum number of cached cells of some 100 bytes each.
MAX_KEPT: Final = 200_000


@dataclass(frozen=True, slots=True)
class AssetLane:
    """One asset: per step its state, worst score and the severity of its alarms, or None."""

    asset_id: AssetId
    last_timestamp: Instant | None
    states: Annotated[list[Step], Meta(examples=[["normal", "anomaly", "silent"]])]
    scores: Annotated[list[Score | None], Meta(examples=[[0.1, 0.83, None]])]
    severities: Annotated[list[Criticality | None], Meta(examples=[[None, "high", None]])]


@dataclass(frozen=True, slots=True)
class FleetLanes:
    """Every asset in steps ``start + n * step_s``; the span is widened to whole steps."""

    start: Instant
    end: Instant
    step_s: Annotated[int, Meta(examples=[1800])]
    assets: list[AssetLane]


class SwimLanes:
    """Compute the lanes of the fleet.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # by step length and number: until when it is cached, and its cells
        self._kept: dict[tuple[int, int], tuple[float, list[tuple[str, Cell]]]] = {}
        self._added = AddedReadings()
        self._lock = asyncio.Lock()

    async def fleet(self, start: datetime, end: datetime, step_s: int) -> FleetLanes:
        """Return the lanes of a time span, extended to whole steps.

        Parameters
        ----------
        start, end : datetime
            The span; ``end`` is excluded.
        step_s : int
            Seconds of one step.

        Raises
        ------
        InputError
            ``step``: too many or too short steps, also for so many assets.
        StorageUnavailable
        """
        first, last = (int(at.timestamp()) // step_s for at in (start, end - timedelta.resolution))
        if step_s < MIN_STEP_S or last - first >= MAX_STEPS:
            raise InputError(
                f"step: {step_s} s divides this span into {last - first + 1} steps; at most"
                f" {MAX_STEPS} steps of at least {MIN_STEP_S} s are allowed",
                field="step",
            )
        try:
            _time(first * step_s), _time((last + 1) * step_s)
        except (ValueError, OverflowError):
            raise InputError(
                "end_date: is too near the end of the calendar", field="end_date"
            ) from None
        async with self._lock:  # a second caller then finds what the first has cached
            assets = await self._database.run(self._read, step_s, first, last)
            fleet = await asyncio.to_thread(self._lanes, step_s, first, last, assets)
            self._forget()
            return fleet

    def _drop_changed(self, connection: Connection) -> None:
        """Drop the cached steps that readings were added to."""
        if (span := self._added.since_last_look(connection)) is not None:
            start, end = (at.timestamp() for at in span)
            for step_s, at in list(self._kept):
                if at * step_s <= end and start < (at + 1) * step_s:
                    self._kept.pop((step_s, at), None)  # another thread may have dropped it

    def _is_kept(self, step_s: int, at: int) -> bool:
        known = self._kept.get((step_s, at))
        return known is not None and time.monotonic() < known[0]

    def _read(
        self, connection: Connection, step_s: int, first: int, last: int
    ) -> list[dict[str, Any]]:
        """Read the steps that are not cached, one query per contiguous run; return the assets."""
        self._drop_changed(connection)
        missing = [at for at in range(first, last + 1) if not self._is_kept(step_s, at)]
        now = time.time()
        for _, run in groupby(enumerate(missing), lambda pair: pair[1] - pair[0]):
            steps = [at for _, at in run]
            start, end = _time(steps[0] * step_s), _time((steps[-1] + 1) * step_s)
            read: dict[int, list[tuple[str, Cell]]] = {at: [] for at in steps}
            for asset, cells in fleet_cells(connection, start, end, step_s).items():
                for cell in cells:
                    read[steps[0] + cell.at].append((asset, cell))
            for at, found in read.items():
                over = now - (at + 1) * step_s > LATE_S
                until = time.monotonic() + (KEPT_S if over else FRESH_S)
                self._kept[step_s, at] = until, found
        return fleet_assets(connection)

    def _forget(self) -> None:
        """Drop cells beyond the limit, first those that are cached for the shortest time."""
        held = sum(len(cells) for _, cells in self._kept.values())
        for key in sorted(self._kept, key=lambda key: self._kept[key][0]):
            if held <= MAX_KEPT:
                return
            held -= len(self._kept.pop(key)[1])

    def _lanes(
        self, step_s: int, first: int, last: int, assets: Iterable[dict[str, Any]]
    ) -> FleetLanes:
        steps = last - first + 1
        read = [self._kept.get((step_s, at), (0.0, []))[1] for at in range(first, last + 1)]
        last_at: dict[str, datetime | None] = {name: None for found in read for name, _ in found}
        last_at |= {asset["asset_id"]: asset["last_at"] for asset in assets}
        if len(last_at) * steps > MAX_CELLS:
            raise InputError(
                f"step: {steps} steps of {len(last_at)} assets are too many; at most"
                f" {MAX_CELLS // len(last_at)} steps are allowed: make them longer",
                field="step",
            )
        lanes = {
            name: AssetLane(name, newest, [SILENT] * steps, [None] * steps, [None] * steps)
            for name, newest in last_at.items()
        }
        for at, found in enumerate(read, start=first):
            for name, cell in found:
                here = lanes[name]
                here.states[at - first] = cell.state
                here.scores[at - first] = cell.score
                if cell.alarming is not None:
                    severity = cast("Criticality", criticality_of(cell.alarming))
                    here.severities[at - first] = severity
        start, end = _time(first * step_s), _time((last + 1) * step_s)
        return FleetLanes(start, end, step_s, [lanes[name] for name in sorted(lanes)])


def _time(epoch: int) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)
