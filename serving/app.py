"""Assemble the service: create each part once, inject its dependencies, start and stop it."""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from config import Settings
from db.migrate import open_migrated
from errors import InputError
from models.scoring.policy import ScoringPolicy
from serving.auth import Keys
from serving.bundles.catalogue import Catalogue
from serving.bundles.champion import Champion
from serving.bundles.follower import run_process
from serving.bundles.manager import BundleManager
from serving.bundles.registry_client import RegistryClient
from serving.database import Database
from serving.detection.detection_service import DetectionService
from serving.detection.journal import Journal
from serving.detection.runners import LocalRunners, RemoteRunners, Runners
from serving.detection.scoring_engine import ScoringEngine
from serving.detection.stream_lookup import StreamLookup
from serving.housekeeping import Housekeeping
from serving.http.body_reader import BodyReader
from serving.http.callers import Callers
from serving.http.feedback_handlers import FeedbackHandlers
from serving.http.handlers import Handlers, document_calls
from serving.http.incident_handlers import IncidentHandlers
from serving.http.model_handlers import ModelHandlers
from serving.http.openapi import document
from serving.http.overview_handlers import OverviewHandlers
from serving.http.rest_app import Call, Guard, declared
from serving.http.schedule_handlers import ScheduleHandlers
from serving.incident_timer import IncidentTimer
from serving.metrics import forget_dead_workers
from serving.monitors import DriftMonitor, PrecisionMonitor
from serving.page.page import build as build_page
from serving.requests.detect import parse_batch, parse_item
from serving.swim_lanes import SwimLanes
from serving.training_queue import TrainingQueue

log = logging.getLogger("bentoml.serving")


class App:
    """Hold all parts of one API worker.

    Parameters
    ----------
    settings : Settings
    remote : mapping
        BentoML's proxies of the runner services by detector; empty: score in this process.
    by_url : frozenset of str
        Detectors whose runner is reached by a URL.
    packed : Path, optional
        The bundle packed in the Bento.
    """

    def __init__(
        self,
        settings: Settings,
        remote: dict[str, Any],
        by_url: frozenset[str],
        packed: Path | None,
    ) -> None:
        self.settings = settings
        opener = functools.partial(open_migrated, settings)
        self.database = database = Database(opener, settings.lookup_timeout_s)
        home = settings.var_dir / "bundles"
        self.registry, champion = RegistryClient(home), Champion(home, run_process)
        scoring = ScoringEngine(
            runners(remote, by_url, settings.request_deadline_s),
            ScoringPolicy(**settings.policy()),
            max_batch=settings.score_batch,
            threads=4 if remote else 1,
            inline=0 if remote else settings.score_inline,
        )
        bundles = BundleManager(champion, scoring.warm, packed)
        self.detection = DetectionService(
            bundles,
            scoring,
            StreamLookup(database, settings),
            Journal(database, settings),
            settings.request_deadline_s,
        )
        self.jobs = TrainingQueue(database, champion.leadership.try_acquire, settings)
        self.housekeeping = Housekeeping(champion, settings)
        self.timer = IncidentTimer(database, settings)
        self.catalogue = Catalogue(self.registry, champion)
        self.lanes, self.drift = SwimLanes(database), DriftMonitor(database)

    async def start(self) -> None:
        """Start the parts; bundle and database are opened in the background."""
        forget_dead_workers()
        on_sigterm(self.jobs.stopping)
        bundles = self.detection.bundles
        for part in (self.database, bundles, self.jobs, self.housekeeping, self.timer):
            await part.start()

    @property
    def ready(self) -> bool:
        """Return whether a bundle is loaded and warm."""
        return self.detection.bundles.bundle is not None

    async def detect(self, content: object) -> dict[str, Any]:
        """Score one reading from a BentoML service that depends on this one."""
        return await self.detection.detect_one(parse_item(encoded(content), self.settings))

    async def detect_batch(self, content: object) -> list[dict[str, Any]]:
        """Score many readings from a BentoML service that depends on this one."""
        return await self.detection.detect(parse_batch(encoded(content), self.settings))

    def calls(self, *, secured: bool, callers: Callers) -> list[Call]:
        """Return the calls of the REST API."""
        settings = self.settings
        database, bodies = self.database, BodyReader(callers, settings.max_body_bytes)
        number = own_version()
        incidents = IncidentHandlers(database, bodies, settings)
        rest = declared(
            OverviewHandlers(database, self.lanes, settings),
            incidents,
            FeedbackHandlers(database, bodies, settings),
            ScheduleHandlers(database, bodies),
            ModelHandlers(self.catalogue, database, bodies),
            Handlers(
                self.detection, database, self.jobs, self.registry, settings, self.drift,
                PrecisionMonitor(database), number,
            ),
        )  # fmt: skip
        listed = [*rest, *incidents.verbs()]
        described = document(listed, version=number, secured=secured, settings=settings)
        return [*document_calls(described), *listed]

    def pages(self, keys: Keys, callers: Callers) -> tuple[list[Call], Guard]:
        """Return the operator's page and its access guard."""
        return build_page(self, keys, callers)

    async def close(self) -> None:
        """Stop all parts, the database last."""
        for part in (self.timer, self.housekeeping, self.jobs, self.detection.bundles):
            await part.stop()
        self.detection.engine.close()
        await self.database.stop()


def encoded(content: object) -> bytes:
    """Encode the content from a dependent service, so that it is parsed like any other body."""
    try:
        return orjson.dumps(content)
    except orjson.JSONEncodeError as error:
        raise InputError(f"the content is not JSON: {error}", code="bad_json") from None


def runners(remote: dict[str, Any], by_url: frozenset[str], timeout: float) -> Runners:
    """Return the runners of this process, or the proxies of the runner services.

    Parameters
    ----------
    remote : mapping
        BentoML's proxies by detector; empty: score in this process.
    by_url : frozenset of str
        Detectors whose runner is reached by a URL, where only JSON is accepted.
    timeout : float
        Seconds for one round of calls.
    """
    if not remote:
        return LocalRunners()
    # the proxies' own methods appear only after start-up, but ``call`` exists at once
    score = {
        name: functools.partial(proxy.to_async.call, "score") for name, proxy in remote.items()
    }
    return RemoteRunners(score, asyncio.get_running_loop(), by_url, timeout)


def on_sigterm(stopping: asyncio.Event) -> None:
    """Set ``stopping`` at SIGTERM to end waits for a training; then call the previous handler."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(stopping.set)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, handle)


def own_version() -> str:
    """Return the version of the running code: of the work tree or Bento, else of the wheel."""
    beside = Path(__file__).parents[1] / "pyproject.toml"
    if beside.is_file():
        return str(tomllib.loads(beside.read_text())["project"]["version"])
    return version("detection-anomalies-service")
