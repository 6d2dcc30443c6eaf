"""Handle the calls of the REST API for detection, history, training and status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from config import Settings
from db.queries.history import get_detection, history
from errors import InputError, NotFound
from models.detectors.base import MODEL_NAMES
from schemas import API_PREFIX
from serving.auth import Keys, open_to_all
from serving.bundles.registry_client import RegistryClient
from serving.database import Database
from serving.detection.detection_service import DetectionService
from serving.http.bodies import JsonResponse, read_body, read_query
from serving.http.openapi import DOCS_PAGE
from serving.http.paths import path_id
from serving.http.rest_app import Call, route
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
    """Parse a request, run it and build the response; one method per call.

    Parameters
    ----------
    detection : DetectionService
    database : Database
        For the history.
    jobs : TrainingQueue
    registry : RegistryClient
        For training runs.
    settings : Settings
    drift : DriftMonitor
        Drift of the readings since training.
    precision : PrecisionMonitor
        Share of incidents that were confirmed.
    version : str
        Version of the running code.
    """

    detection: DetectionService
    database: Database
    jobs: TrainingQueue
    registry: RegistryClient
    settings: Settings
    drift: DriftMonitor
    precision: PrecisionMonitor
    version: str

    @route("POST", "/anomalies/detect", "detect", body=Item, answer=Result, also="/detect")
    async def detect(self, request: Request) -> Response:
        """Score one reading."""
        body = await read_body(request, self.settings.max_body_bytes)
        return JsonResponse(await self.detection.detect_one(parse_item(body, self.settings)))

    @route("POST", "/anomalies/detect/batch", "detect", body=list[Item],
           answer=list[ResultOrError], also="/detect_batch")  # fmt: skip
    async def detect_batch(self, request: Request) -> Response:
        """Score many readings; an invalid one does not affect the others."""
        body = await read_body(request, self.settings.max_body_bytes)
        return JsonResponse(await self.detection.detect(parse_batch(body, self.settings)))

    @route("POST", "/anomalies/detect/streams", "detect", body=Streams, answer=StreamsAnswer)
    async def detect_streams(self, request: Request) -> Response:
        """Score streams with their states; store nothing."""
        body = await read_body(request, self.settings.max_body_bytes)
        streams, echo = parse_streams(body, self.settings)
        return JsonResponse(await self.detection.detect_streams(streams, echo))

    @route("POST", "/anomalies/train", "train", query=TrainQuery, body=TrainingBody,
           answers={200: TrainAnswer, 202: Job}, errors=(404,))  # fmt: skip
    async def train(self, request: Request) -> Response:
        """Train a bundle."""
        wait = read_parameters(TrainQuery, read_query(request)).wait
        body = await read_body(request, self.settings.max_body_bytes)
        status, answer = await self.jobs.train(parse_training(body), wait)
        return JsonResponse(answer, status)

    @route("GET", "/anomalies/train/{job}", "read", answer=Job)
    async def train_job(self, request: Request) -> Response:
        """Show a training job."""
        return JsonResponse(await self.jobs.show(path_id(request, "job", "job")))

    @route("GET", "/anomalies/status", "read", answer=Status)
    async def status(self, _: Request) -> Response:
        """Show the loaded bundle and the state of all parts."""
        bundles = self.detection.bundles
        content: dict[str, Any] = {
            "ready": bundles.bundle is not None,
            **bundles.status(),
            **describe(bundles.bundle.describe() if bundles.bundle else None),
            "drift": self.drift.known(bundles.bundle),
            "precision": self.precision.known(),
            "database": self.database.status(),
            "warning": open_to_all(
                self.settings.service_host, Keys.parse(self.settings.api_keys.get_secret_value())
            ),
        }
        return JsonResponse(content)

    @route("GET", "/anomalies", "read", query=HistoryQuery, answer=Page)
    async def anomalies(self, request: Request) -> Response:
        """List stored detections, newest first."""
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

    @route("GET", "/anomalies/{id}", "read", answer=StoredResult)
    async def anomaly(self, request: Request) -> Response:
        """Show one stored detection."""
        wanted = path_id(request, "detection")
        found = await self.database.run(get_detection, wanted)
        if found is None:
            raise NotFound(f"no detection {wanted}")
        return JsonResponse(found)

    @route("GET", "/anomalies/metrics", "read", query=RunsQuery, answer=Runs)
    async def runs(self, request: Request) -> Response:
        """List the training runs in MLflow."""
        query = read_parameters(RunsQuery, read_query(request))
        try:
            found = await self.registry.ask(
                "runs", limit=query.limit, page=query.page, model_name=query.model_name
            )
        except InputError:
            raise InputError("page: is not a next_page of this service", field="page") from None
        return JsonResponse(found)

    @route("GET", "/anomalies/health", None, answer=Health, also="/health")
    async def health(self, _: Request) -> Response:
        """Confirm that the process is alive."""
        name = self.settings.service_name
        return JsonResponse({"status": "healthy", "service": name, "version": self.version})


def describe(bundle: dict[str, Any] | None) -> dict[str, Any]:
    """Describe ``models`` (and ``groups``) for ``/status``; all three names are always there."""
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


def document_calls(documentation: bytes) -> list[Call]:
    """List the calls that serve the OpenAPI document."""

    async def show_openapi(_: Request) -> Response:
        return Response(documentation, media_type="application/json")

    async def show_docs(_: Request) -> Response:
        return HTMLResponse(DOCS_PAGE)

    return [
        Call(f"{API_PREFIX}/openapi.json", "GET", None, show_openapi),
        Call(f"{API_PREFIX}/docs", "GET", None, show_docs),
    ]
