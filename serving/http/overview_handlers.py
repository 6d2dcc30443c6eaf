"""Handle overviews of a period: the fleet over time, alarm KPIs, top contributors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from config import Settings
from db.alarm_kpis import alarm_kpis
from db.queries.alarm_load import top
from errors import InputError
from schemas import moved
from serving.database import Database
from serving.http.bodies import JsonResponse, read_query
from serving.http.rest_app import route
from serving.requests.feedback_bodies import PeriodQuery, TopQuery, read_period
from serving.requests.wire import SpanQuery, read_parameters
from serving.responses.feedback_answers import Kpis, Top
from serving.swim_lanes import MIN_STEP_S, FleetLanes, SwimLanes

#: Length of the fleet's period without ``start_date``.
SPAN = timedelta(hours=24)


class FleetQuery(SpanQuery, frozen=True):
    """The period (default: the last 24 hours) and the seconds per step."""

    step: Annotated[int, Meta(ge=MIN_STEP_S, le=86_400)] = 1800


@dataclass(frozen=True, slots=True)
class OverviewHandlers:
    """Handle the requests.

    Parameters
    ----------
    database : Database
    lanes : SwimLanes
    settings : Settings
    """

    database: Database
    lanes: SwimLanes
    settings: Settings

    @route("GET", "/fleet", "read", query=FleetQuery, answer=FleetLanes)
    async def fleet(self, request: Request) -> Response:
        """Show the worst score and the state of every asset, per step."""
        query = read_parameters(FleetQuery, read_query(request))
        end = query.end or datetime.now(UTC)
        start = query.start or moved(end, -SPAN)
        if start >= end:
            span = f"{start.isoformat()} is not before the end, {end.isoformat()}"
            raise InputError(f"start_date: {span}", field="start_date")
        return JsonResponse(await self.lanes.fleet(start, end, query.step))

    @route("GET", "/alarm-kpis", "read", query=PeriodQuery, answer=Kpis)
    async def alarm_kpis(self, request: Request) -> Response:
        """Show the alarm KPIs (alarms per operator, floods, chattering, ...) with their limits."""
        query = read_parameters(PeriodQuery, read_query(request))
        start, end = read_period(query, datetime.now(UTC))
        return JsonResponse(await self.database.run(alarm_kpis, start, end, self.settings))

    @route("GET", "/incidents/top", "read", query=TopQuery, answer=Top)
    async def top(self, request: Request) -> Response:
        """List the streams or incidents that cause most of the alarm load."""
        query = read_parameters(TopQuery, read_query(request))
        start, end = read_period(query, datetime.now(UTC))
        rows = await self.database.run(top, query.by, start, end, query.limit, self.settings)
        for row in rows:
            row.pop("streams", None)
        return JsonResponse({"by": query.by, "start": start, "end": end, "top": rows})
