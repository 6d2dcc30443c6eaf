"""The fleet over time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from errors import AnomalyError, InputError
from serving.page.lanes import LANE_WORDS, marks, rows
from serving.page.pages import Pages, given_query
from serving.swim_lanes import SwimLanes

#: Span in hours -> seconds of a step: about fifty steps, which a lane of a phone still shows.
SPANS: Final = {"6": 600, "24": 1800, "72": 5400, "168": 14_400, "720": 57_600}
FIRST: Final = "24"
MARKS: Final = 6


@dataclass(frozen=True, slots=True)
class FleetViews:
    """The screen.

    Parameters
    ----------
    pages : Pages
    lanes : SwimLanes
    """

    pages: Pages
    lanes: SwimLanes

    async def fleet(self, request: Request) -> Response:
        """Show every asset's lane."""
        query = given_query(request)
        hours, wrong_only, problem = FIRST, query.get("only") == "wrong", None
        fleet, shown, status = None, [], 200
        try:
            if query.get("hours", FIRST) not in SPANS:
                raise InputError(f"hours: is none of {', '.join(SPANS)}", field="hours")
            hours = query.get("hours", FIRST)
            end = datetime.now(UTC)
            fleet = await self.lanes.fleet(end - timedelta(hours=int(hours)), end, SPANS[hours])
            shown = await asyncio.to_thread(rows, fleet, wrong_only=wrong_only)
        except AnomalyError as error:
            status, problem = error.status, error.message
        return await self.pages.show(
            request, "fleet.html", status, fleet=fleet, rows=shown, problem=problem,
            hours=hours, spans=SPANS, wrong_only=wrong_only, words=LANE_WORDS,
            marks=marks(fleet, MARKS) if fleet else [],
        )  # fmt: skip
