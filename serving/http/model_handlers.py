"""Handle models: versions, champion, promotion, training jobs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from db.queries.training_jobs import list_jobs
from serving.bundles.catalogue import Catalogue
from serving.database import Database
from serving.http.bodies import JsonResponse, read_query
from serving.http.body_reader import BodyReader
from serving.http.rest_app import route
from serving.requests.incident_bodies import VerbBody
from serving.requests.wire import SignedBody, read_parameters
from serving.responses.fleet_answers import Jobs, Models, Promoted
from serving.training_queue import shown

log = logging.getLogger("bentoml.serving.models")


Version = Annotated[str, Meta(min_length=1, max_length=100, examples=["3"])]


class Promotion(VerbBody, frozen=True, kw_only=True):
    """The version to promote (default: the challenger) and the reason."""

    version: Version | None = None


class Rollback(SignedBody, frozen=True):
    """The champion to be replaced (default: any); 409 if another is champion by now."""

    champion: Version | None = None


class JobsQuery(Struct, frozen=True):
    """The number of jobs to list."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


@dataclass(frozen=True, slots=True)
class ModelHandlers:
    """Handle the requests.

    Parameters
    ----------
    catalogue : Catalogue
    database : Database
    bodies : BodyReader
    """

    catalogue: Catalogue
    database: Database
    bodies: BodyReader

    @route("GET", "/models", "read", answer=Models)
    async def models(self, _: Request) -> Response:
        """List versions, with the figures of champion and challenger."""
        return JsonResponse(await self.catalogue.models())

    @route("POST", "/models/promote", "train", body=Promotion, answer=Promoted, errors=(404, 409))
    async def promote(self, request: Request) -> Response:
        """Make a version champion without comparing it."""
        body, who = await self.bodies.read(request, Promotion)
        done = await self.catalogue.promote(body.version, f"{who}: {body.why or 'no reason given'}")
        log.info("version %s promoted by %s", done["champion"], who, extra={"action": "promote"})
        return JsonResponse(done)

    @route("POST", "/models/rollback", "train", body=Rollback, answer=Promoted, errors=(404, 409))
    async def roll_back(self, request: Request) -> Response:
        """Make the previous champion the champion again."""
        body, who = await self.bodies.read(request, Rollback)
        done = await self.catalogue.roll_back(body.champion)
        log.info("rolled back to version %s by %s", done["champion"], who,
                 extra={"action": "rollback"})  # fmt: skip
        return JsonResponse(done)

    @route("GET", "/anomalies/train", "read", query=JobsQuery, answer=Jobs)
    async def jobs(self, request: Request) -> Response:
        """List training jobs, newest first."""
        limit = read_parameters(JobsQuery, read_query(request)).limit
        found = await self.database.run(list_jobs, limit)
        return JsonResponse({"jobs": [shown(job) for job in found]})
