"""Define the BentoML services: the API, and one runner per detector.

``bentoml serve`` in this folder starts them. With ``RUNNER_MODE=inprocess`` (the default) the
detectors run inside the API process. With ``processes`` each detector is a BentoML service, which
BENTOML_CONFIG can scale or place on a GPU by its name.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")

import bentoml
from _bentoml_sdk import Service

from config import load_settings
from errors import AnomalyError, SettingsError
from runtime import configure_service_logging, die_with_parent
from serving.auth import Keys, open_to_all
from serving.database import check_address
from serving.detection.runner_urls import MODEL_NAMES, parse_urls
from serving.http.callers import Callers
from serving.http.front import Front
from serving.http.origins import Origins
from serving.http.rest_app import RestApp

HERE = Path(__file__).resolve().parent


def go_back() -> None:
    """Change back to the folder in which ``bentoml serve TAG`` was called.

    BentoML has changed to the built Bento's folder. Relative paths (``VAR_DIR``, ``DATA_DIR``,
    ``.env``) would refer to that folder in the Bento store.
    """
    called_in = os.environ.get("PWD", "")
    if (HERE.parent / "bento.yaml").is_file() and called_in.startswith("/"):
        with suppress(OSError):  # PWD may be a folder of another file system, outside a container
            os.chdir(called_in)


go_back()
try:
    settings = load_settings()
    check_address(settings)
    keys = Keys.parse(settings.api_keys.get_secret_value())
    callers = Callers.parse(settings.proxy_user_header, settings.trusted_proxies)
    runner_urls = parse_urls(settings.runner_urls)
except SettingsError as error:
    raise SystemExit(f"setting {error.message}") from None

# TRUSTED_PROXIES are compared with the address of the connection, so uvicorn must not replace
# this address by X-Forwarded-For.
os.environ.setdefault("FORWARDED_ALLOW_IPS", "")
configure_service_logging(settings.log_level, settings.log_json)
log = logging.getLogger("bentoml.service")
origins = Origins.parse(settings.allowed_hosts, settings.service_host)
rest_app = RestApp(keys, origins, max_concurrency=settings.max_concurrency)

#: The name that ``models.registry.bento_store`` gives a bundle in the Bento store.
BUNDLE_MODEL = "anomaly-bundle"

#: Options of the API and of the runners.
COMMON: dict[str, Any] = {
    "logging": {"access": {"enabled": settings.access_log}},
    # tracing costs a third of the throughput, and without an exporter nobody reads the spans
    "tracing": {"excluded_urls": ".*"},
    # BentoML drops calls in flight when it renews a client session, so sessions are never renewed
    "runner_connection": {"max_requests": 2**31, "max_age": 10.0**9},
}


def runner_service(detector: str) -> Service[Any]:
    """Create the runner of one detector: a BentoML service with a batchable API."""

    class Runner:
        """Score batches of calls for one detector; listen on a unix socket only."""

        def __init__(self) -> None:
            from serving.detection.runners import BundleCache, DetectorRunner

            bundles = BundleCache(settings.var_dir / "bundles", packed_folder())
            self._runner = DetectorRunner(detector, bundles)

        @bentoml.api(
            batchable=True,
            max_batch_size=settings.runner_max_batch,
            max_latency_ms=settings.runner_max_latency_ms,
        )
        def score(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
            """Answer a batch of calls."""
            return self._runner.answer(calls)

    decorate = bentoml.service(
        name=f"{detector}_runner", traffic={"timeout": settings.request_deadline_s}, **COMMON
    )
    runner: Service[Any] = decorate(Runner)
    return runner


def runner_dependencies() -> dict[str, Any]:
    """Return the API's dependencies: one runner per detector, or none with ``inprocess``."""
    if settings.runner_mode == "inprocess":
        return {}
    return {
        f"{name}_runner": bentoml.depends(runner_service(name), url=runner_urls.get(name))
        for name in MODEL_NAMES
    }


def packed_bundle() -> Any:
    """Declare the newest bundle of the Bento store for ``bentoml build``; None if it has none.

    ``bentoml serve`` fails to start if a declared model is not in the store.
    """
    try:
        bentoml.models.get(f"{BUNDLE_MODEL}:latest")
    except bentoml.exceptions.NotFound:
        return None
    return bentoml.models.BentoModel(f"{BUNDLE_MODEL}:latest")


def packed_folder() -> Path | None:
    """Return the folder of the bundle packed in the Bento, or in a work tree the store's newest."""
    bento = AnomalyDetection.bento
    if bento is None:
        return None if Api.bundle is None else Path(Api.bundle.resolve().path)
    packed = [model for model in bento.info.all_models if model.tag.name == BUNDLE_MODEL]
    return Path(packed[0].to_model().resolve().path) if packed else None


class FrontService(Service):  # type: ignore[misc]
    """A service that handles REST requests before they reach BentoML.

    BentoML reads a body of any size before our code can check it. Its middleware labels metrics
    with the whole path, so every id makes a new series. It also keeps a timer of
    ``traffic.timeout`` for every request, even after the answer: 1,500 requests/s times 360 s are
    half a million timers. The REST API has its own metrics, deadlines and limits.
    """

    def to_asgi(self, is_main: bool = True) -> Any:
        """Put the REST API in front of BentoML's application."""
        inner = super().to_asgi(is_main)
        return Front(rest_app, inner, origins) if is_main else inner

    def on_load_bento(self, bento: Any) -> None:
        """Accept a Bento that was built with another RUNNER_MODE.

        BentoML's own method requires the services of the Bento's manifest, but RUNNER_MODE is
        chosen at each start.
        """
        for one in self.all_services().values():
            one.bento = bento


class Api:
    """Anomaly detection for industrial assets.

    The REST API is documented under /api/v1/anomalies/docs. The two methods here offer the same for
    BentoML's clients, whose calls the REST API answers, and for services that depend on this one.
    """

    bundle: Any = None

    def __init__(self) -> None:
        self._app: Any = None

    @bentoml.on_startup
    async def open(self) -> None:
        """Assemble the application; bundle and database are opened in the background."""
        from serving.app import App

        remote = {}
        if settings.runner_mode == "processes":
            remote = {name: getattr(self, f"{name}_runner") for name in MODEL_NAMES}
        self._app = App(settings, remote, frozenset(runner_urls), packed_folder())
        await self._app.start()
        rest_app.serve(
            self._app.calls(secured=bool(keys), callers=callers),
            self._app.pages(keys, callers),
        )
        warning = open_to_all(settings.service_host, keys)
        if warning is not None and bentoml.server_context.worker_index == 1:
            log.warning("%s", warning)

    @bentoml.on_shutdown
    async def close(self) -> None:
        """Close the application."""
        if self._app is not None:
            await self._app.close()

    async def __is_ready__(self) -> bool:
        """Return whether a bundle is loaded."""
        return self._app is not None and self._app.ready

    @bentoml.api
    async def detect(self, item: dict[str, Any], /, ctx: bentoml.Context) -> dict[str, Any]:
        """Score one reading (see POST /api/v1/anomalies/detect)."""
        return await self._call(ctx, "detect", item)

    @bentoml.api
    async def detect_batch(self, items: list[Any], /, ctx: bentoml.Context) -> Any:
        """Score many readings (see POST /api/v1/anomalies/detect/batch)."""
        return await self._call(ctx, "detect_batch", items)

    async def _call(self, ctx: bentoml.Context, method: str, content: Any) -> Any:
        try:
            return await getattr(self._app, method)(content)
        except AnomalyError as error:
            ctx.response.status_code = error.status
            return {"error": error.entry()}


if bentoml.server_context.worker_index is not None:
    # uvicorn sends itself SIGTERM again after its shutdown. By default this would kill the process
    # before its ``atexit`` functions stop an embedded PostgreSQL, so exit normally instead.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # If ``bentoml serve`` is killed, surviving workers would occupy the port of the next start.
    die_with_parent()
for _name, _dependency in runner_dependencies().items():
    setattr(Api, _name, _dependency)
if packed_bundle() is not None:
    Api.bundle = packed_bundle()

AnomalyDetection = bentoml.service(
    name="anomaly_detection",
    service_class=FrontService,
    workers=settings.service_workers,
    threads=8,
    http={"host": settings.service_host, "port": settings.service_port},
    # longer than TRAIN_WAIT_S, or BentoML would answer 504 while POST /train still waits
    traffic={"timeout": settings.train_wait_s + 60},
    **COMMON,
)(Api)
