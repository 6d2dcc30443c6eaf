"""The REST API: every call of the contract, on top of
:class:`serving.detection.detection_service.DetectionService`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from db.queries.history import HistoryFilter, get_detection, history
from errors import InputError, NotFound
from models.detectors.base import MODEL_NAMES
from serving.bundles.registry_client import RegistryClient
from serving.database import Database
from serving.detection.detection_service import DetectionService
from serving.drift_monitor import DriftMonitor
from serving.http.messages import Answer, Request, json_answer
from serving.http.openapi import DOCS_PAGE
from serving.http.routing import PREFIX, Endpoint
from serving.requests.detect import Limits, parse_batch, parse_item
from serving.requests.history_query import parse_query
from serving.requests.query import choice, flag, number, refuse_unknown
from serving.requests.streams import parse_streams
from serving.requests.training_request import parse_training
from serving.training_queue import TrainingQueue

#: Parameters of ``GET /metrics``.
_RUNS: dict[str, Callable[[str, str], Any]] = {
    "limit": number(1, 1000),
    "page": lambda value, _: value,
    "model_name": choice(MODEL_NAMES),
}


class Handlers:
    """The handlers.

    Parameters
    ----------
    core : Core
        Detection.
    database : Database
        History.
    jobs : Jobs
        Training.
    registry : Asker
        Training runs.
    limits : Limits
    drift : DriftWatch
        Whether the plant has moved away from the model.
    """

    def __init__(
        self,
        core: DetectionService,
        database: Database,
        jobs: TrainingQueue,
        registry: RegistryClient,
        limits: Limits,
        drift: DriftMonitor,
    ) -> None:
        self._core = core
        self._database = database
        self._jobs = jobs
        self._registry = registry
        self._limits = limits
        self._drift = drift

    async def detect(self, request: Request) -> Answer:
        content = await request.json(self._limits.body_bytes)
        return json_answer(await self._core.detect_one(parse_item(content, self._limits)))

    async def detect_batch(self, request: Request) -> Answer:
        content = await request.json(self._limits.body_bytes)
        return json_answer(await self._core.detect(parse_batch(content, self._limits)))

    async def detect_streams(self, request: Request) -> Answer:
        content = await request.json(self._limits.body_bytes)
        streams, echo = parse_streams(content, self._limits)
        return json_answer(await self._core.detect_streams(streams, echo))

    async def train(self, request: Request) -> Answer:
        query = request.query()
        refuse_unknown(query, ("wait",))
        wait = flag(query.get("wait", "true"), "wait")
        content = await request.json(self._limits.body_bytes)
        status, body = await self._jobs.train(parse_training(content), wait)
        return json_answer(body, status)

    async def train_job(self, request: Request) -> Answer:
        return json_answer(await self._jobs.show(_uuid(request.path, "job")))

    async def status(self, _: Request) -> Answer:
        keeper = self._core.keeper
        content: dict[str, Any] = {
            "ready": keeper.bundle is not None,
            **keeper.status(),
            **describe(keeper.bundle.describe() if keeper.bundle else None),
            "drift": self._drift.known(keeper.bundle),
            "database": self._database.status(),
        }
        return json_answer(content)

    async def anomalies(self, request: Request) -> Answer:
        query = parse_query(request.query())
        filters = HistoryFilter(
            query.asset_id,
            query.sensor_id,
            query.start_date,
            query.end_date,
            query.is_anomaly,
            query.criticality,
        )
        page = await self._database.run(
            lambda connection: history(
                connection, filters, limit=query.limit, offset=query.offset, cursor=query.cursor
            )
        )
        content = {
            "anomalies": page.rows,
            "total": page.total,
            "limit": query.limit,
            "offset": query.offset,
            "filters": query.filters(),
            "next_cursor": page.next_cursor,
        }
        if not page.total_is_exact:
            content["total_is_exact"] = False
        return json_answer(content)

    async def anomaly(self, request: Request) -> Answer:
        wanted = _uuid(request.path, "detection")
        found = await self._database.run(lambda connection: get_detection(connection, wanted))
        if found is None:
            raise NotFound(f"no detection {wanted}")
        return json_answer(found)

    async def runs(self, request: Request) -> Answer:
        given = request.query()
        refuse_unknown(given, _RUNS)
        query = {name: _RUNS[name](value, name) for name, value in given.items()}
        try:
            found = await self._registry.ask(
                "runs",
                limit=query.get("limit", 20),
                page=query.get("page"),
                model_name=query.get("model_name"),
            )
        except InputError:
            raise InputError("page: not a next_page of this service", field="page") from None
        return json_answer(found)


def describe(bundle: dict[str, Any] | None) -> dict[str, Any]:
    """``models`` (and ``groups``) of ``/status``: all three names, whatever the bundle holds."""
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


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"no {what} {text[:80]!r}: ids are UUIDs") from None


def endpoints(
    rest: Handlers, *, name: str, version: str, documentation: bytes
) -> dict[str, list[Endpoint]]:
    """The contract's paths below the prefix, and those at the root.

    Parameters
    ----------
    name, version : str
        For ``/health``.
    documentation : bytes
        The OpenAPI document.
    """
    health = {"status": "healthy", "service": name, "version": version}

    async def show_health(_: Request) -> Answer:
        return json_answer(health)

    async def show_openapi(_: Request) -> Answer:
        return Answer(documentation)

    async def show_docs(_: Request) -> Answer:
        return Answer(DOCS_PAGE, content_type=b"text/html; charset=utf-8")

    below_prefix = [
        Endpoint("/detect", {"POST": ("detect", rest.detect)}),
        Endpoint("/detect/batch", {"POST": ("detect", rest.detect_batch)}),
        Endpoint("/detect/streams", {"POST": ("detect", rest.detect_streams)}),
        Endpoint("/train", {"POST": ("train", rest.train)}),
        Endpoint("/train/{job}", {"GET": ("read", rest.train_job)}),
        Endpoint("/status", {"GET": ("read", rest.status)}),
        Endpoint("/metrics", {"GET": ("read", rest.runs)}),
        Endpoint("", {"GET": ("read", rest.anomalies)}),
        Endpoint("/{id}", {"GET": ("read", rest.anomaly)}),
        Endpoint("/health", {"GET": (None, show_health)}),
        Endpoint("/openapi.json", {"GET": (None, show_openapi)}),
        Endpoint("/docs", {"GET": (None, show_docs)}),
    ]
    at_root = [
        Endpoint("/health", {"GET": (None, show_health)}),
        Endpoint("/", {"GET": (None, show_docs)}),
        # BentoML's clients call its methods here; these are the same calls
        Endpoint("/detect", {"POST": ("detect", rest.detect)}),
        Endpoint("/detect_batch", {"POST": ("detect", rest.detect_batch)}),
    ]
    return {PREFIX: below_prefix, "": at_root}
