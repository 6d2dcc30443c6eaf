"""The fleet over time, one lane per asset; steps that are over are read once, not at each look."""

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
from models.scoring.tail import criticality_of
from schemas import Criticality
from serving.database import Database
from serving.requests.wire import AssetId, Instant
from serving.responses.detection_answers import Score

SILENT: Final = "silent"
Step = Literal[CellState, "silent"]
#: Steps of one answer at most.
MAX_STEPS: Final = 500
MIN_STEP_S: Final = 60
#: Readings arrive late: a step is read again until so long after its end.
LATE_S: Final = 600.0
#: What changes still is read again after so long, what is over after so much longer.
FRESH_S: Final = 5.0
KEPT_S: Final = 600.0
#: Cells that are kept, some 100 bytes each.
MAX_KEPT: Final = 200_000


@dataclass(frozen=True, slots=True)
class AssetLane:
    """One asset: by step its state, worst score and the severity of what alarms; None: nothing."""

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
    """Look the fleet up.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[tuple[int, int], tuple[float, list[tuple[str, Cell]]]] = {}
        self._lock = asyncio.Lock()

    async def fleet(self, start: datetime, end: datetime, step_s: int) -> FleetLanes:
        """Return the lanes of a span, widened to whole steps.

        Parameters
        ----------
        start, end : datetime
            Of the span; ``end`` is not included.
        step_s : int
            Seconds of one step.

        Raises
        ------
        InputError
            ``step``: too many steps, or too short ones.
        StorageUnavailable
        """
        first, last = (int(at.timestamp()) // step_s for at in (start, end - timedelta.resolution))
        if step_s < MIN_STEP_S or last - first >= MAX_STEPS:
            raise InputError(
                f"step: {step_s} s make {last - first + 1} steps of this span; at most"
                f" {MAX_STEPS} of at least {MIN_STEP_S} s are answered",
                field="step",
            )
        try:
            _time(first * step_s), _time((last + 1) * step_s)
        except (ValueError, OverflowError):
            raise InputError("end_date: its step leaves the calendar", field="end_date") from None
        async with self._lock:  # who comes second finds what the first has read
            missing = [at for at in range(first, last + 1) if not self._is_kept(step_s, at)]
            assets = await self._database.run(self._read, step_s, missing)
            fleet = await asyncio.to_thread(self._lanes, step_s, first, last, assets)
            self._forget()
            return fleet

    def _is_kept(self, step_s: int, at: int) -> bool:
        known = self._kept.get((step_s, at))
        if known is None:
            return False
        over = time.time() - (at + 1) * step_s > LATE_S
        return time.monotonic() - known[0] < (KEPT_S if over else FRESH_S)

    def _read(
        self, connection: Connection, step_s: int, missing: list[int]
    ) -> list[dict[str, Any]]:
        """Read the steps that are missing, run by run; the assets."""
        now = time.monotonic()
        for _, run in groupby(enumerate(missing), lambda pair: pair[1] - pair[0]):
            steps = [at for _, at in run]
            start, end = _time(steps[0] * step_s), _time((steps[-1] + 1) * step_s)
            read: dict[int, list[tuple[str, Cell]]] = {at: [] for at in steps}
            for asset, cells in fleet_cells(connection, start, end, step_s).items():
                for cell in cells:
                    read[steps[0] + cell.at].append((asset, cell))
            for at, found in read.items():
                self._kept[step_s, at] = now, found
        return fleet_assets(connection)

    def _forget(self) -> None:
        """Drop what was read longest ago, where too much is kept."""
        held = sum(len(cells) for _, cells in self._kept.values())
        for key in sorted(self._kept, key=lambda key: self._kept[key][0]):
            if held <= MAX_KEPT:
                return
            held -= len(self._kept.pop(key)[1])

    def _lanes(
        self, step_s: int, first: int, last: int, assets: Iterable[dict[str, Any]]
    ) -> FleetLanes:
        steps = last - first + 1
        lanes: dict[str, AssetLane] = {}

        def lane(name: str, last_at: datetime | None = None) -> AssetLane:
            if name not in lanes:
                lanes[name] = AssetLane(
                    name, last_at, [SILENT] * steps, [None] * steps, [None] * steps
                )
            return lanes[name]

        for asset in assets:
            lane(asset["asset_id"], asset["last_at"])
        for at in range(first, last + 1):
            for name, cell in self._kept.get((step_s, at), (0.0, []))[1]:
                here = lane(name)
                here.states[at - first] = cell.state
                here.scores[at - first] = cell.score
                if cell.alarming is not None:
                    severity = cast("Criticality", criticality_of(cell.alarming))
                    here.severities[at - first] = severity
        start, end = _time(first * step_s), _time((last + 1) * step_s)
        return FleetLanes(start, end, step_s, [lanes[name] for name in sorted(lanes)])


def _time(epoch: int) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)
