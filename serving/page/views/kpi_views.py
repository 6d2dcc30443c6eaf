"""The alarm system's own figures, against those of ISA-18.2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from db.alarm_kpis import alarm_kpis
from db.queries.alarm_load import Chatter, top
from errors import AnomalyError
from serving.page.pages import given_query
from serving.page.views.screen import Screen
from serving.requests.feedback_bodies import PeriodQuery, read_period
from serving.requests.wire import read_parameters

TOP = 10


@dataclass(frozen=True, slots=True)
class KpiViews(Screen):
    """The screen.

    Parameters
    ----------
    positions : int
        Operators who share the alarms.
    chatter : Chatter
    """

    positions: int
    chatter: Chatter

    async def kpis(self, request: Request) -> Response:
        """Show the KPIs of a period."""
        query = given_query(request)
        found: dict[str, Any] = {}
        status, problem = 200, None
        try:
            start, end = read_period(read_parameters(PeriodQuery, query), datetime.now(UTC))
            found = await self.database.run(self._read, start, end)
        except AnomalyError as error:
            status, problem = error.status, error.message
        return await self.pages.show(
            request, "kpis.html", status, query=query, found=found, problem=problem
        )

    def _read(self, connection: Connection, start: datetime, end: datetime) -> dict[str, Any]:
        return {
            "kpis": alarm_kpis(
                connection, start, end, positions=self.positions, chatter=self.chatter
            ),
            "chattering": top(connection, "chattering", start, end, TOP, self.chatter),
            "standing": top(connection, "standing", start, end, TOP, self.chatter),
        }
