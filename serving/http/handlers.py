"""Handle every call of the REST API, on top of the detection service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from config import Settings
from db.queries.history import get_detection, history
from errors import InputError, NotFound
from models.detectors.base import MODEL_NAMES
from serving.bundles.registry_client import RegistryClient
from serving.database import Database
from serving.detection.detection_service import DetectionService
from serving.http.bodies import JsonResponse, read_body, read_query
from serving.http.openapi import DOCS_PAGE
from serving.http.paths import path_id
from serving.http.rest_app import PREFIX, Call
from serving.monitors import DriftMonitor, PrecisionMonitor
from serving.requests.detect import Item, parse_batch, parse_item
from serving.requests.history_query import HistoryQuery, parse_query
from serving.requests.stream_request import Streams, parse_streams
from serving.requests.training_request import RunsQuery, TrainingBody, TrainQuery, parse_training
from serving.requests.wire import read_parameters
from serving.responses.detection_answers import (
    Health,
    Page,
    Result,
    ResultOrError,
    Status,
    StoredResult,
    StreamsAnswer,
)
from serving.responses.training_answers import Job, Runs, TrainAnswer
from serving.training_queue import TrainingQueue


@dataclass(frozen=True, slots=True)
class Handlers:
    """Read a request, have it done, answer it: one method per call.

    Parameters
    ----------
    detection : DetectionService
    database : Database
        History.
    jobs : TrainingQueue
    registry : RegistryClient
        Training runs.
    settings : Settings
    drift : DriftMonitor
        Whether the plant has moved away from the model.
    precision : PrecisionMonitor
        How many incidents were right.
    """

    detection: DetectionService
    database: Database
    jobs: TrainingQueue
    registry: RegistryClient
    settings: Settings
    drift: DriftMonitor
    precision: PrecisionMonitor

    async def detect(self, request: Request) -> Response:
        """Answer ``POST /detect``."""
        body = await read_body(request, self.settings.max_body_bytes)
        return JsonResponse(await self.detection.detect_one(parse_item(body, self.settings)))

    async def detect_batch(self, request: Request) -> Response:
        """Answer ``POST /detect/batch``."""
        body = await read_body(request, self.settings.max_body_bytes)
        return JsonResponse(await self.detection.detect(parse_batch(body, self.settings)))

    async def detect_streams(self, request: Request) -> Response:
        """Answer ``POST /detect/streams``."""
        body = await read_body(request, self.settings.max_body_bytes)
        streams, echo = parse_streams(body, self.settings)
        return JsonResponse(await self.detection.detect_streams(streams, echo))

    async def train(self, request: Request) -> Response:
        """Answer ``POST /train``."""
        wait = read_parameters(TrainQuery, read_query(request)).wait
        body = await read_body(request, self.settings.max_body_bytes)
        status, answer = await self.jobs.train(parse_training(body), wait)
        return JsonResponse(answer, status)

    async def train_job(self, request: Request) -> Response:
        """Answer ``GET /train/{job}``."""
        return JsonResponse(await self.jobs.show(path_id(request, "job", "job")))

    async def status(self, _: Request) -> Response:
        """Answer ``GET /status``."""
        bundles = self.detection.bundles
        content: dict[str, Any] = {
            "ready": bundles.bundle is not None,
            **bundles.status(),
            **describe(bundles.bundle.describe() if bundles.bundle else None),
            "drift": self.drift.known(bundles.bundle),
            "precision": self.precision.known(),
            "database": self.database.status(),
        }
        return JsonResponse(content)

    async def anomalies(self, request: Request) -> Response:
        """Answer ``GET /``, the history of detections."""
        query = parse_query(read_query(request))
        page = await self.database.run(
            history, query.filters(), limit=query.limit, offset=query.offset, cursor=query.cursor
        )
        content = {
            "anomalies": page.rows,
            "total": page.total,
            "limit": query.limit,
            "offset": query.offset,
            "filters": query.shown(),
            "next_cursor": page.next_cursor,
        }
        if not page.total_is_exact:
            content["total_is_exact"] = False
        return JsonResponse(content)

    async def anomaly(self, request: Request) -> Response:
        """Answer ``GET /{detection}``."""
        wanted = path_id(request, "detection")
        found = await self.database.run(get_detection, wanted)
        if found is None:
            raise NotFound(f"no detection {wanted}")
        return JsonResponse(found)

    async def runs(self, request: Request) -> Response:
        """Answer ``GET /metrics``, the training runs."""
        query = read_parameters(RunsQuery, read_query(request))
        try:
            found = await self.registry.ask(
                "runs", limit=query.limit, page=query.page, model_name=query.model_name
            )
        except InputError:
            raise InputError("page: not a next_page of this service", field="page") from None
        return JsonResponse(found)


def describe(bundle: dict[str, Any] | None) -> dict[str, Any]:
    """Describe ``models`` (and ``groups``) for ``/status``: always all three names."""
    groups = (bundle or {}).get("groups", {})
    shown = {name: _models(group) for name, group in groups.items()}
    first = "default" if "default" in shown else next(iter(shown), None)
    content: dict[str, Any] = {"models": shown[first] if first else _models({})}
    if len(shown) > 1:
        content["groups"] = shown
    return content


def _models(group: dict[str, Any]) -> dict[str, Any]:
    untrained: dict[str, Any] = {
        "is_trained": False,
        "version": None,
        "trained_at": None,
        "n_features": None,
        "feature_names": [],
    }
    models = group.get("models", group)
    return {name: {**untrained, **models.get(name, {})} for name in MODEL_NAMES}


def calls(rest: Handlers, *, name: str, version: str) -> list[Call]:
    """List the contract's calls, and BentoML's two methods.

    Parameters
    ----------
    name, version : str
        For ``/health``.
    """
    health = {"status": "healthy", "service": name, "version": version}

    async def show_health(_: Request) -> Response:
        return JsonResponse(health)

    return [
        Call(f"{PREFIX}/detect", "POST", "detect", rest.detect, "Score one reading",
             body=Item, answers={200: Result}),
        Call(f"{PREFIX}/detect/batch", "POST", "detect", rest.detect_batch,
             "Score many readings; a bad one costs only itself",
             body=list[Item], answers={200: list[ResultOrError]}),
        Call(f"{PREFIX}/detect/streams", "POST", "detect", rest.detect_streams,
             "Score streams with their states; stores nothing",
             body=Streams, answers={200: StreamsAnswer}),
        Call(f"{PREFIX}/train", "POST", "train", rest.train, "Train a bundle",
             query=TrainQuery, body=TrainingBody, answers={200: TrainAnswer, 202: Job},
             errors=(404,)),
        Call(f"{PREFIX}/train/{{job}}", "GET", "read", rest.train_job, "A training job",
             answers={200: Job}),
        Call(f"{PREFIX}/status", "GET", "read", rest.status, "What is loaded",
             answers={200: Status}),
        Call(f"{PREFIX}/metrics", "GET", "read", rest.runs, "Training runs out of MLflow",
             query=RunsQuery, answers={200: Runs}),
        Call(f"{PREFIX}/health", "GET", None, show_health, "Is the process alive",
             answers={200: Health}),
        Call(PREFIX, "GET", "read", rest.anomalies, "Stored detections, newest first",
             query=HistoryQuery, answers={200: Page}),
        Call("/health", "GET", None, show_health),
        # BentoML's clients call its methods here; these are the same calls
        Call("/detect", "POST", "detect", rest.detect),
        Call("/detect_batch", "POST", "detect", rest.detect_batch),
        Call(f"{PREFIX}/{{id}}", "GET", "read", rest.anomaly, "One stored detection",
             answers={200: StoredResult}),
    ]  # fmt: skip


def document_calls(documentation: bytes) -> list[Call]:
    """List the calls that show the OpenAPI document."""

    async def show_openapi(_: Request) -> Response:
        return Response(documentation, media_type="application/json")

    async def show_docs(_: Request) -> Response:
        return HTMLResponse(DOCS_PAGE)

    return [
        Call(f"{PREFIX}/openapi.json", "GET", None, show_openapi),
        Call(f"{PREFIX}/docs", "GET", None, show_docs),
    ]
