"""The fleet over time, over REST."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from errors import InputError
from schemas import moved
from serving.http.bodies import JsonResponse, read_query
from serving.http.rest_app import ROOM, Call
from serving.requests.wire import SpanQuery, read_parameters
from serving.responses.fleet_answers import FleetLanes
from serving.swim_lanes import LEAST_STEP_S, SwimLanes

#: The span without ``start_date``.
SPAN = timedelta(hours=24)


class FleetQuery(SpanQuery, frozen=True):
    """Which span, in steps of how many seconds; the last 24 hours without."""

    step: Annotated[int, Meta(ge=LEAST_STEP_S, le=86_400)] = 1800


@dataclass(frozen=True, slots=True)
class FleetHandlers:
    """The handler.

    Parameters
    ----------
    lanes : SwimLanes
    """

    lanes: SwimLanes

    async def fleet(self, request: Request) -> Response:
        """Show the worst score and the state of every asset, step by step."""
        query = read_parameters(FleetQuery, read_query(request))
        end = query.end or datetime.now(UTC)
        start = query.start or moved(end, -SPAN)
        if start >= end:
            raise InputError("start_date: does not lie before the end", field="start_date")
        return JsonResponse(await self.lanes.fleet(start, end, query.step))


def fleet_calls(rest: FleetHandlers) -> list[Call]:
    """Return the call."""
    return [
        Call(f"{ROOM}/fleet", "GET", "read", rest.fleet,
             "Worst score and state of every asset, step by step",
             query=FleetQuery, answers={200: FleetLanes}),
    ]  # fmt: skip
