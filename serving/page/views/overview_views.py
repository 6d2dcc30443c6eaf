"""Show the whole plant over a period: the fleet's lanes, and alarm KPIs against ISA-18.2."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from config import Settings
from db.alarm_kpis import alarm_kpis
from db.queries.alarm_load import top
from db.queries.fleet import MAX_ASSETS
from errors import AnomalyError, InputError
from serving.page.lanes import LANE_WORDS, marks, rows, worst_first
from serving.page.pages import failed, given_query
from serving.page.views.screen import Screen
from serving.requests.feedback_bodies import PeriodQuery, read_period
from serving.requests.wire import read_parameters
from serving.swim_lanes import SwimLanes

#: Span in hours -> seconds per step: about fifty steps, which fit a phone's screen.
SPANS: Final = {"6": 600, "24": 1800, "72": 5400, "168": 14_400, "720": 57_600}
FIRST: Final = "24"
DRAWN: Final = 1000  # lanes; a browser is given all of them every minute
MARKS: Final = 6  # times written below the lanes
TOP: Final = 10  # causes of load listed


@dataclass(frozen=True, slots=True)
class OverviewViews(Screen):
    """Show the overviews.

    Parameters
    ----------
    lanes : SwimLanes
    settings : Settings
    """

    lanes: SwimLanes
    settings: Settings

    async def fleet(self, request: Request) -> Response:
        """Show every asset's lane."""
        query = given_query(request)
        hours, wrong_only, problem = query.get("hours", FIRST), query.get("only") == "wrong", None
        fleet, shown, status = None, [], 200
        try:
            if hours not in SPANS:
                raise InputError(f"hours: is none of {', '.join(SPANS)}", field="hours")
            end = datetime.now(UTC)
            fleet = await self.lanes.fleet(end - timedelta(hours=int(hours)), end, SPANS[hours])
            shown = await asyncio.to_thread(rows, fleet, wrong_only=wrong_only)
        except AnomalyError as error:
            status, problem = error.status, failed(error)["text"]
        return await self.pages.show(
            request, "fleet.html", status, fleet=fleet, most=MAX_ASSETS, fitting=len(shown),
            rows=worst_first(shown, DRAWN), problem=problem, spans=SPANS, wrong_only=wrong_only,
            hours=hours if hours in SPANS else FIRST, words=LANE_WORDS,
            marks=marks(fleet, MARKS) if fleet else [],
        )  # fmt: skip

    async def kpis(self, request: Request) -> Response:
        """Show the KPIs of a period."""
        query = given_query(request)
        found: dict[str, Any] = {}
        status, problem = 200, None
        try:
            start, end = read_period(read_parameters(PeriodQuery, query), datetime.now(UTC))
            found = await self.database.run(self._kpis, start, end)
        except AnomalyError as error:
            status, problem = error.status, failed(error)["text"]
        return await self.pages.show(
            request, "kpis.html", status, query=query, found=found, problem=problem
        )

    def _kpis(self, connection: Connection, start: datetime, end: datetime) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: top(connection, name, start, end, TOP, self.settings)
            for name in ("chattering", "standing")
        }
        found["kpis"] = alarm_kpis(connection, start, end, self.settings)
        return found
