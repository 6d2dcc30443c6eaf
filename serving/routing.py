"""The ASGI application: finds the route, checks the key, counts, and turns errors into JSON.

A dictionary instead of a router of patterns: there are fifteen fixed paths and two with an id.
It is a Starlette application only so that BentoML mounts it beside its own routes without a
prefix of its own; requests go past Starlette.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import Counter, Histogram
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match

from errors import AnomalyError, Busy, NotFound
from serving import metrics
from serving.auth import Keys, Role
from serving.http import Answer, Receive, Request, Scope, Send, error_answer

log = logging.getLogger("bentoml.serving.rest")

PREFIX = "/api/v1/anomalies"

Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path: its template, its methods, and the role each needs (None: open)."""

    path: str
    methods: dict[str, tuple[Role | None, Handler]]


class _Owned(BaseRoute):
    """Tells BentoML's router which paths are ours."""

    def __init__(self, app: RestApp) -> None:
        self.path = PREFIX
        self.app = None
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        ours = scope["type"] == "http" and owns(scope["path"])
        return (Match.FULL if ours else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def owns(path: str) -> bool:
    """Whether a path is ours: the REST API, and the root, where BentoML's page would phone home."""
    return path.startswith(PREFIX + "/") or path in (PREFIX, "/", "/health", "/health/")


class RestApp(Starlette):
    """Dispatches the REST API.

    Parameters
    ----------
    keys : Keys
    max_concurrency : int
        Requests in hand beyond which new ones get 429; health is exempt.
    """

    def __init__(self, keys: Keys, *, max_concurrency: int = 256) -> None:
        super().__init__(routes=[_Owned(self)])
        self._fixed: dict[str, Endpoint] = {}
        self._with_id: dict[str, Endpoint] = {}
        self._keys = keys
        self._most = max_concurrency
        self._in_hand = 0
        self._unknown = Endpoint("unknown", {})
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def serve(self, endpoints: list[Endpoint]) -> None:
        """Take up these paths below the prefix; a template ends in ``/{...}``."""
        self._fixed = {e.path: e for e in endpoints if not e.path.endswith("}")}
        self._with_id = {e.path.rpartition("/")[0]: e for e in endpoints if e.path.endswith("}")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        started = time.perf_counter()
        endpoint, rest = self.find(scope["path"])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        request = Request(scope, receive, rest)
        try:
            answer = await self._answer(endpoint, method, request)
        except AnomalyError as error:
            if error.status >= 500 and not error.retriable:
                log.error("%s %s: %s", method, endpoint.path, error)
            answer = error_answer(error)
        except Exception:
            log.exception("%s %s failed", method, endpoint.path)
            answer = error_answer(AnomalyError("an unexpected error; the server's log has it"))
        if scope["method"] == "HEAD":
            answer.body = b""
        await answer.send(send)
        known = method if method in endpoint.methods else "other"
        self._count(endpoint.path, known, answer.status, time.perf_counter() - started)

    def find(self, path: str) -> tuple[Endpoint, str]:
        """The endpoint of a path, with or without a slash at its end, and the id in it."""
        if path == "/":
            return self._fixed.get(path, self._unknown), ""
        if path.startswith(PREFIX):
            path = path[len(PREFIX) :]
        path = path.rstrip("/") if path.endswith("/") and not path.endswith("//") else path
        endpoint = self._fixed.get(path)
        if endpoint is not None:
            return endpoint, ""
        head, _, rest = path.rpartition("/")
        return self._with_id.get(head, self._unknown), rest

    def _count(self, route: str, method: str, status: int, seconds: float) -> None:
        children = self._children.get((route, method, status))
        if children is None:  # finding them by their labels costs more than counting
            counter = metrics.REQUESTS.labels(route, method, str(status))
            children = self._children[route, method, status] = (
                counter,
                metrics.SECONDS.labels(route),
            )
        children[0].inc()
        children[1].observe(seconds)

    async def _answer(self, endpoint: Endpoint, method: str, request: Request) -> Answer:
        if endpoint is self._unknown:
            raise NotFound("no such path; see " + PREFIX + "/docs")
        if method not in endpoint.methods:
            answer = error_answer(_not_allowed(endpoint, method))
            answer.headers.append((b"allow", ", ".join(sorted(endpoint.methods)).encode()))
            return answer
        role, handler = endpoint.methods[method]
        if role is None:
            return await handler(request)
        self._keys.check(request.headers, role)
        if self._in_hand >= self._most:
            raise Busy(
                f"{self._in_hand} requests are in hand, at most {self._most} (MAX_CONCURRENCY)",
                retry_after=1,
            )
        self._in_hand += 1
        metrics.IN_HAND.inc()
        try:
            return await handler(request)
        finally:
            self._in_hand -= 1
            metrics.IN_HAND.dec()


def _not_allowed(endpoint: Endpoint, method: str) -> AnomalyError:
    allowed = ", ".join(sorted(endpoint.methods))
    error = AnomalyError(
        f"{method[:16]} is not allowed here; {allowed} is", code="method_not_allowed"
    )
    error.status = 405
    return error
