"""Handle feedback about periods of assets, and the plant's fault codes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from config import Settings
from db.fault_codes import fault_codes, put_fault_codes
from db.feedback_actions import give_feedback, withdraw
from db.queries.feedback import count_readings, false_alarms, feedback_page
from models.scoring.alarms.bursts import raised_by
from serving.database import Database
from serving.http.bodies import JsonResponse, read_query
from serving.http.body_reader import BodyReader
from serving.http.paths import path_id
from serving.http.rest_app import route
from serving.requests.feedback_bodies import (
    FaultCodes,
    FeedbackQuery,
    IncidentFeedback,
    SpanFeedback,
    Withdrawal,
    fault_code_rows,
    feedback_values,
    read_feedback_query,
)
from serving.requests.incident_bodies import read_token
from serving.responses.feedback_answers import CodeList, FeedbackPage, GivenFeedback

log = logging.getLogger("bentoml.serving.feedback")

_TRAINING = {
    "confirmed": ("left_out", "are left out of the next training as a fault, and promotion counts"
                  " whether it would be found"),
    "expected": ("left_out", "are left out of the next training"),
    "false_alarm": ("healthy", "count as healthy in the next training"),
    "unsure": ("none", "are trained on as if there were no feedback"),
}  # fmt: skip


def effects(connection: Connection, row: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Describe the present effects of one row of feedback.

    Parameters
    ----------
    connection : Connection
    row : dict
    settings : Settings
        By how many decades, and for how long, a false alarm raises the incident threshold.
    """
    asset, days = row["asset_id"], settings.feedback_raise_days
    alarms = false_alarms(connection, days, [asset]).get(asset, 0)
    maximum = settings.feedback_raise_max
    raised = raised_by(alarms, settings.feedback_raise, maximum)
    threshold = {"false_alarms": alarms, "raised_by": raised, "at_most": maximum, "days": days}
    if row["withdrawn_at"] is not None:
        training, readings = "none", 0
        says = f"withdrawn: it has no effect; {_threshold_words(asset, raised, maximum)}"
    else:
        training, says = _TRAINING[row["verdict"]]
        readings = count_readings(connection, row)
        says = f"{readings} stored readings of the period {says}"
        if row["verdict"] == "false_alarm":
            counted = "1 false alarm was" if alarms == 1 else f"{alarms} false alarms were"
            says += f"; {counted} reported in the last {days} days, so from now on"
            says += f" {_threshold_words(asset, raised, maximum)}"
    return {"training": training, "readings": readings, "incident_threshold": threshold,
            "says": says}  # fmt: skip


def _threshold_words(asset: str, raised: float, maximum: float) -> str:
    """Describe the raised incident threshold, with decades as the factors that they are."""
    if not raised:
        return f"incidents of {asset} open as without feedback"
    return (
        f"an incident of {asset} opens only for a peak {10**raised:.2g} times as rare as without"
        f" feedback (at most {10**maximum:.3g} times)"
    )


@dataclass(frozen=True, slots=True)
class FeedbackHandlers:
    """Handle the requests.

    Parameters
    ----------
    database : Database
    bodies : BodyReader
    settings : Settings
    """

    database: Database
    bodies: BodyReader
    settings: Settings

    @route("GET", "/feedback", "read", query=FeedbackQuery, answer=FeedbackPage)
    async def feedback(self, request: Request) -> Response:
        """List feedback, newest first."""
        filters, limit, cursor = read_feedback_query(read_query(request))
        rows, following = await self.database.run(
            feedback_page, filters, limit=limit, cursor=cursor
        )
        return JsonResponse({"feedback": rows, "limit": limit, "next_cursor": following})

    @route("POST", "/feedback", "operate", body=SpanFeedback, answer=GivenFeedback, status=201,
           errors=(409,), headers=("Idempotency-Key",))  # fmt: skip
    async def give(self, request: Request) -> Response:
        """Give feedback about a period of an asset; the answer lists its effects."""
        return await self._give(request, SpanFeedback)

    @route("POST", "/incidents/{id}/feedback", "operate", body=IncidentFeedback,
           answer=GivenFeedback, status=201, errors=(409,),
           headers=("Idempotency-Key",))  # fmt: skip
    async def give_about_incident(self, request: Request) -> Response:
        """Give feedback about an incident; the answer lists its effects."""
        wanted = path_id(request, "incident")
        return await self._give(request, IncidentFeedback, incident_id=wanted)

    async def _give(
        self, request: Request, kind: type[IncidentFeedback | SpanFeedback], **about: Any
    ) -> Response:
        body, who = await self.bodies.read(request, kind, optional=False)
        values = {
            **feedback_values(body),
            "created_by": who,
            "client_token": read_token(request.headers.get("idempotency-key")),
        }

        def give(connection: Connection) -> dict[str, Any]:
            topic = self.settings.kafka_topic_incidents
            row, warning = give_feedback(connection, values, topic=topic, **about)
            return shown(row, effects(connection, row, self.settings), warning)

        made = await self.database.run(give)
        log.info("%s says of %s: %s", made["created_by"], made["asset_id"], made["verdict"],
                 extra={"action": "feedback"})  # fmt: skip
        return JsonResponse(made, 201)

    @route("POST", "/feedback/{id}/withdraw", "operate", body=Withdrawal, answer=GivenFeedback)
    async def withdraw(self, request: Request) -> Response:
        """Withdraw feedback."""
        wanted = path_id(request, "feedback")
        body, who = await self.bodies.read(request, Withdrawal)

        def change(connection: Connection) -> dict[str, Any]:
            topic = self.settings.kafka_topic_incidents
            row = withdraw(connection, wanted, who, body.why, topic)
            return shown(row, effects(connection, row, self.settings))

        changed = await self.database.run(change)
        log.info("feedback %s withdrawn by %s", wanted, who, extra={"action": "feedback"})
        return JsonResponse(changed)

    @route("GET", "/fault-codes", "read", answer=CodeList)
    async def fault_codes(self, _: Request) -> Response:
        """List the fault codes in use."""
        return JsonResponse(listed(*await self.database.run(fault_codes)))

    @route("PUT", "/fault-codes", "operate", body=FaultCodes, answer=CodeList)
    async def put_fault_codes(self, request: Request) -> Response:
        """Replace the plant's fault codes; an empty list restores the shipped ones."""
        body, who = await self.bodies.read(request, FaultCodes, optional=False)
        rows = fault_code_rows(body)
        kept = await self.database.run(put_fault_codes, rows, who)
        log.info("%d fault codes put by %s", len(rows), who, extra={"action": "fault_codes"})
        return JsonResponse(listed(*kept))


def shown(
    row: dict[str, Any], effects: dict[str, Any], warning: str | None = None
) -> dict[str, Any]:
    """Return feedback with its effects, as in the response.

    Parameters
    ----------
    row : dict
        The feedback.
    effects : dict
        The result of :func:`effects`.
    warning : str, optional
        About the fault code.
    """
    return {**row, "effects": effects, **({"warning": warning} if warning else {})}


def listed(codes: list[dict[str, Any]], own: bool) -> dict[str, Any]:
    """Return the fault codes, and whether they are the plant's own or the shipped ones."""
    return {"fault_codes": codes, "source": "plant" if own else "shipped"}
