"""Alarm KPIs, and which streams and incidents make most of the load, over REST."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from db.alarm_kpis import alarm_kpis
from db.queries.alarm_load import Chatter, top_chattering, top_count, top_standing
from serving.database import Database
from serving.http.bodies import JsonResponse, read_query
from serving.http.rest_app import ROOM, Call
from serving.requests.feedback_bodies import PeriodQuery, TopQuery, read_period
from serving.requests.wire import read_parameters
from serving.responses.feedback_answers import Kpis, Top


@dataclass(frozen=True, slots=True)
class KpiHandlers:
    """The handlers.

    Parameters
    ----------
    database : Database
    positions : int
        Operators who share the alarms.
    chatter : Chatter
    """

    database: Database
    positions: int
    chatter: Chatter

    async def alarm_kpis(self, request: Request) -> Response:
        """Show the KPIs of a period."""
        query = read_parameters(PeriodQuery, read_query(request))
        start, end = read_period(query, datetime.now(UTC))
        found = await self.database.run(
            alarm_kpis, start, end, positions=self.positions, chatter=self.chatter
        )
        return JsonResponse(found)

    async def top(self, request: Request) -> Response:
        """Show what makes most of the load."""
        query = read_parameters(TopQuery, read_query(request))
        start, end = read_period(query, datetime.now(UTC))
        span: dict[str, Any] = {"start": start, "end": end, "limit": query.limit}
        ask = {
            "count": partial(top_count, **span),
            "chattering": partial(top_chattering, **span, chatter=self.chatter),
            "standing": partial(top_standing, **span),
        }[query.by]
        rows = await self.database.run(ask)
        for row in rows:
            row.pop("streams", None)
        return JsonResponse({"by": query.by, "start": start, "end": end, "top": rows})


def kpi_calls(rest: KpiHandlers) -> list[Call]:
    """Return the calls."""
    return [
        Call(f"{ROOM}/alarm-kpis", "GET", "read", rest.alarm_kpis,
             "Alarms per operator, floods, chattering, standing ones, with limits",
             query=PeriodQuery, answers={200: Kpis}),
        Call(f"{ROOM}/incidents/top", "GET", "read", rest.top, "What makes most of the load",
             query=TopQuery, answers={200: Top}),
    ]  # fmt: skip
