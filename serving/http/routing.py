"""The ASGI application: finds the route, checks the key, counts, and turns errors into JSON.

A dictionary instead of a router of patterns: there are fifteen fixed paths and two with an id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from errors import AnomalyError, Busy, NotFound
from serving import metrics
from serving.auth import Keys, Role
from serving.http.messages import Answer, Receive, Request, Scope, Send, error_answer
from serving.http.origins import Origins

log = logging.getLogger("bentoml.serving.rest")

PREFIX = "/api/v1/anomalies"

Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path: its template, its methods, and the role each needs (None: open)."""

    path: str
    methods: dict[str, tuple[Role | None, Handler]]


class RestApp:
    """Dispatches the REST API.

    Parameters
    ----------
    keys : Keys
    origins : Origins
        Which web pages may call.
    max_concurrency : int
        Requests in hand beyond which new ones get 429; health is exempt.
    """

    def __init__(self, keys: Keys, origins: Origins, *, max_concurrency: int = 256) -> None:
        self._fixed: dict[str, tuple[str, Endpoint]] = {}
        self._with_id: dict[str, tuple[str, Endpoint]] = {}
        self._keys = keys
        self._origins = origins
        self._most = max_concurrency
        self._in_hand = 0
        self._unknown = ("unknown", Endpoint("unknown", {}))
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def serve(self, endpoints: dict[str, list[Endpoint]]) -> None:
        """Take up these paths, by the prefix before them; a template ends in ``/{...}``."""
        for prefix, below in endpoints.items():
            for endpoint in below:
                label = endpoint.path if prefix or endpoint.path == "/" else f"root{endpoint.path}"
                head, _, last = (prefix + endpoint.path).rpartition("/")
                if last.startswith("{"):
                    self._with_id[head] = (label, endpoint)
                else:
                    self._fixed[prefix + endpoint.path] = (label, endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        (label, endpoint), rest = self.find(scope["path"])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        request = Request(scope, receive, rest)
        try:
            self._origins.check(scope)
            answer = await self._answer(endpoint, method, request)
        except AnomalyError as error:
            if error.status >= 500 and not error.retriable:
                log.error("%s %s: %s", method, label, error)
            answer = error_answer(error)
        except Exception:
            log.exception("%s %s failed", method, label)
            answer = error_answer(AnomalyError("an unexpected error; the server's log has it"))
        await answer.send(send, head=scope["method"] == "HEAD")
        known = method if method in endpoint.methods else "other"
        self._count(label, known, answer.status, time.perf_counter() - started)

    def find(self, path: str) -> tuple[tuple[str, Endpoint], str]:
        """The endpoint of a path, with or without a slash at its end, and the id in it."""
        found = self._fixed.get(path)
        if found is not None:
            return found, ""
        if path.endswith("/") and not path.endswith("//"):
            path = path[:-1]
            found = self._fixed.get(path)
            if found is not None:
                return found, ""
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
        if endpoint is self._unknown[1]:
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
