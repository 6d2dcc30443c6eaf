"""Models over REST: which versions there are, which is champion, what is being trained."""

from __future__ import annotations

import logging
from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from db.queries.training_jobs import list_jobs
from serving.bundles.catalogue import Catalogue
from serving.database import Database
from serving.http.bodies import JsonResponse, read_body, read_query
from serving.http.callers import Callers
from serving.http.rest_app import PREFIX, ROOM, Call
from serving.requests.wire import NoQuery, Text, Who, decode, read_parameters
from serving.responses.fleet_answers import Jobs, Models, Promoted
from serving.training_queue import shown

log = logging.getLogger("bentoml.serving.models")


class Promotion(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version is to be champion, and why; without one, the challenger."""

    version: Annotated[str, Meta(min_length=1, max_length=100, examples=["3"])] | None = None
    why: Text | None = None
    who: Who | None = None


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """The champion before is champion again."""

    who: Who | None = None


class JobsQuery(Struct, frozen=True):
    """How many jobs."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class ModelHandlers:
    """The handlers.

    Parameters
    ----------
    catalogue : Catalogue
    database : Database
    callers : Callers
    body_bytes : int
        The largest body.
    """

    def __init__(
        self, catalogue: Catalogue, database: Database, callers: Callers, body_bytes: int
    ) -> None:
        self._catalogue = catalogue
        self._database = database
        self._callers = callers
        self._body_bytes = body_bytes

    async def models(self, request: Request) -> Response:
        """List the versions."""
        read_parameters(NoQuery, read_query(request))
        return JsonResponse(await self._catalogue.models())

    async def promote(self, request: Request) -> Response:
        """Make a version champion, whatever a comparison says."""
        body = decode(Promotion, await read_body(request, self._body_bytes) or b"{}")
        who = self._callers.name(request, body.who)
        done = await self._catalogue.promote(
            body.version, f"{who}: {body.why or 'no reason given'}"
        )
        log.info("version %s promoted by %s", done["champion"], who, extra={"action": "promote"})
        return JsonResponse(done)

    async def roll_back(self, request: Request) -> Response:
        """Make the champion before champion again."""
        body = decode(Rollback, await read_body(request, self._body_bytes) or b"{}")
        who = self._callers.name(request, body.who)
        done = await self._catalogue.roll_back()
        log.info("rolled back to version %s by %s", done["champion"], who,
                 extra={"action": "rollback"})  # fmt: skip
        return JsonResponse(done)

    async def jobs(self, request: Request) -> Response:
        """List training jobs."""
        limit = read_parameters(JobsQuery, read_query(request)).limit
        found = await self._database.run(lambda connection: list_jobs(connection, limit))
        return JsonResponse({"jobs": [shown(job) for job in found]})


def model_calls(rest: ModelHandlers) -> list[Call]:
    """Return the calls."""
    return [
        Call(f"{ROOM}/models", "GET", "read", rest.models,
             "Versions, champion and challenger with their figures",
             query=NoQuery, answers={200: Models}),
        Call(f"{ROOM}/models/promote", "POST", "train", rest.promote,
             "Make a version champion without comparing it", body=Promotion,
             answers={200: Promoted}, errors=(404, 409)),
        Call(f"{ROOM}/models/rollback", "POST", "train", rest.roll_back,
             "Make the champion before champion again", body=Rollback,
             answers={200: Promoted}, errors=(404,)),
        Call(f"{PREFIX}/train", "GET", "read", rest.jobs, "Training jobs, newest first",
             query=JobsQuery, answers={200: Jobs}),
    ]  # fmt: skip
