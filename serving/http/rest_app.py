"""Serve the REST API as an ASGI application with guarded endpoints.

There is no middleware: an endpoint runs all checks around its handler itself, in 10 us.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from prometheus_client import Counter, Histogram
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from errors import AnomalyError, Busy, NotFound
from schemas import API_PREFIX, API_ROOT
from serving import metrics
from serving.auth import Keys, Role
from serving.http.bodies import error_response, read_query
from serving.http.origins import Origins
from serving.requests.wire import NoQuery, read_parameters

log = logging.getLogger("bentoml.serving.rest")

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API, with its description for the OpenAPI document.

    Parameters
    ----------
    path, method : str
    role : Role, optional
        Required role of the caller; None: no key is needed.
    handler : callable
    summary : str
        A few words; empty: the call is not in the document.
    query, body : type, optional
        Structs by which the handler decodes the query's parameters and the body. ``NoQuery``: any
        parameter is refused before the handler is called.
    answers : mapping of int to type
        Type of the response body by status.
    errors : tuple of int
        Error statuses beyond those that follow from role, path, query and body.
    headers : tuple of str
        Used headers among ``If-Match`` and ``Idempotency-Key``.
    """

    path: str
    method: str
    role: Role | None
    handler: Handler
    summary: str = ""
    query: type[Struct] | None = None
    body: Any = None
    answers: Mapping[int, Any] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    headers: tuple[str, ...] = ()


H = TypeVar("H", bound=Callable[..., Awaitable[Response]])


def route(
    method: str,
    path: str,
    role: Role | None,
    *,
    answer: Any = None,
    status: int = 200,
    also: str | None = None,
    **about: Any,
) -> Callable[[H], H]:
    """Declare a method as a call's handler; the first line of its docstring is the summary.

    Parameters
    ----------
    method, path, role
        Of the call; the path is relative to ``/api/v1``.
    answer, status
        Type and status of the response, if there is only one type.
    also : str, optional
        A second path of the call, as BentoML's clients use it.
    about
        Other fields of :class:`Call`.
    """

    def declare(handler: H) -> H:
        summary = (handler.__doc__ or "").partition("\n")[0].removesuffix(".")
        about.setdefault("answers", {status: answer})
        if role is not None:  # without a role: probes may add what they like
            about.setdefault("query", NoQuery)
        calls = [Call(API_ROOT + path, method, role, handler, summary, **about)]
        calls += [Call(also, method, role, handler, query=about.get("query"))] if also else []
        handler.calls = calls  # type: ignore[attr-defined]
        return handler

    return declare


def declared(*handlers: object) -> list[Call]:
    """Return the calls that are declared by methods of these objects."""
    return [
        replace(call, handler=getattr(handler, name))
        for handler in handlers
        for name, method in vars(type(handler)).items()
        for call in getattr(method, "calls", ())
    ]


class NameConvertor(Convertor[str]):
    """Match a name of any characters, even line breaks, at which Starlette's ``path`` stops."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Return the value unchanged."""
        return value

    def to_string(self, value: str) -> str:
        """Return the value unchanged."""
        return value


register_url_convertor("name", NameConvertor())


class Guard(Protocol):
    """Interface for admitting callers and for answering rejected ones."""

    async def admit(self, request: Request, role: Role) -> None:
        """Raise unless the caller has this role; store the caller in ``request.state``."""

    async def refuse(self, request: Request, error: AnomalyError) -> Response:
        """Return the response to a failed request."""


class KeyGuard:
    """Admit callers by their API key; errors are JSON."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def admit(self, request: Request, role: Role) -> None:
        """See :class:`Guard`."""
        if self._keys:
            request.state.key_name = self._keys.check(request.headers, role)

    async def refuse(self, _: Request, error: AnomalyError) -> Response:
        """See :class:`Guard`."""
        return error_response(error)


class ReaderGuard:
    """Refuse browsers with a screen and programs with JSON, where nothing is served.

    Parameters
    ----------
    programs, people : Guard
    """

    def __init__(self, programs: Guard, people: Guard) -> None:
        self._programs = programs
        self._people = people

    async def admit(self, request: Request, role: Role) -> None:
        """See :class:`Guard`."""
        await self._programs.admit(request, role)

    async def refuse(self, request: Request, error: AnomalyError) -> Response:
        """See :class:`Guard`."""
        reads = "text/html" in request.headers.get("accept", "")
        if reads and request.method == "GET" and not request.url.path.startswith(API_ROOT):
            return await self._people.refuse(request, NotFound("there is no such page"))
        return await self._programs.refuse(request, error)


class RestApp:
    """Serve the REST API, and pages beside it.

    Parameters
    ----------
    keys : Keys
    origins : Origins
        Web pages that may call.
    max_concurrency : int
        Maximum requests in flight, beyond which new ones get 429; calls without a role are exempt.
    """

    def __init__(self, keys: Keys, origins: Origins, *, max_concurrency: int = 256) -> None:
        self._guard = KeyGuard(keys)
        self._origins = origins
        self._gate = Gate(max_concurrency)
        unknown = self._endpoint("unknown", {}, self._guard)
        self._templates = Router(redirect_slashes=False, default=unknown)
        self._fixed: dict[str, Endpoint] = {}

    def serve(self, calls: list[Call], pages: tuple[list[Call], Guard] | None = None) -> None:
        """Serve these calls; their order does not matter.

        Parameters
        ----------
        calls : list of Call
            For programs, which send a key.
        pages : (list of Call, Guard), optional
            For people, whom another guard admits.
        """
        endpoints = self._endpoints(calls, self._guard)
        if pages is not None:
            endpoints |= self._endpoints(*pages)
            people = ReaderGuard(self._guard, pages[1])
            self._templates.default = self._endpoint("unknown", {}, people)
        # a dict, because Starlette's router would test one path after the other
        self._fixed = {path: one for path, one in endpoints.items() if "{" not in path}
        self._templates.routes[:] = [
            Route(path, one) for path, one in endpoints.items() if "{" in path
        ]

    def _endpoints(self, calls: list[Call], guard: Guard) -> dict[str, Endpoint]:
        by_path: dict[str, dict[str, Call]] = {}
        for call in calls:
            by_path.setdefault(call.path, {})[call.method] = call
        return {
            path: self._endpoint(label(path), methods, guard) for path, methods in by_path.items()
        }

    def _endpoint(self, name: str, calls: Mapping[str, Call], guard: Guard) -> Endpoint:
        return Endpoint(name, calls, guard, self._origins, self._gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope["path"]
        if path.endswith("/") and len(path) > 1 and not path.endswith("//"):
            path = scope["path"] = path[:-1]  # accept a trailing slash without a redirect
        await self._fixed.get(path, self._templates)(scope, receive, send)


def label(path: str) -> str:
    """Return the metrics' label of a path: without the prefix, but distinct from root paths."""
    if path.startswith(API_PREFIX):
        return path.removeprefix(API_PREFIX)
    if path.startswith(API_ROOT):
        return path.removeprefix(API_ROOT)
    return path if path == "/" else f"root{path}"


class Gate:
    """Count requests in flight, and reject those beyond the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight = 0

    def __enter__(self) -> None:
        """Count a request in, or raise Busy."""
        if self._in_flight >= self._limit:
            raise Busy(
                f"{self._in_flight} requests are in flight, "
                f"at most {self._limit} are allowed (MAX_CONCURRENCY)",
                retry_after=1,
            )
        self._in_flight += 1
        metrics.IN_FLIGHT.inc()

    def __exit__(self, *_: object) -> None:
        """Count a request out."""
        self._in_flight -= 1
        metrics.IN_FLIGHT.dec()


class Endpoint:
    """Guard the handlers of one path by origin, key and limit; count metrics and handle errors.

    Parameters
    ----------
    name : str
        Label in the metrics.
    calls : mapping of str to Call
        By method; empty: the path is unknown.
    guard, origins, gate
        Check callers, web pages, and the number of requests.
    """

    def __init__(
        self, name: str, calls: Mapping[str, Call], guard: Guard, origins: Origins, gate: Gate
    ) -> None:
        self._name = name
        self._calls = calls
        self._guard = guard
        self._origins = origins
        self._gate = gate
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle and count one request."""
        started = time.perf_counter()
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        response = await self._safely(method, Request(scope, receive))
        if scope["method"] == "HEAD":
            response.body = b""  # HEAD: the headers keep the length
        await response(scope, receive, send)
        known = method if method in self._calls else "other"
        self._count(known, response.status_code, time.perf_counter() - started)

    async def _safely(self, method: str, request: Request) -> Response:
        """Return a response for any outcome."""
        try:
            self._origins.check(request.scope)
            return await self._answer(method, request)
        except AnomalyError as error:
            if error.status >= 500 and not error.retriable:
                log.error("%s %s: %s", method, self._name, error)
            return await self._guard.refuse(request, error)
        except ClientDisconnect:
            return Response(status_code=499)  # the client is gone; nginx's code, for the metrics
        except Exception:
            log.exception("%s %s failed", method, self._name)
            unexpected = AnomalyError("unexpected error; see the server's log")
            return await self._guard.refuse(request, unexpected)

    async def _answer(self, method: str, request: Request) -> Response:
        if not self._calls:
            raise NotFound("no such path; see " + API_PREFIX + "/docs")
        call = self._calls.get(method)
        if call is None:
            return self._not_allowed(method)
        if call.role is None:
            return await call.handler(request)
        await self._guard.admit(request, call.role)
        if call.query is NoQuery:
            read_parameters(NoQuery, read_query(request))
        with self._gate:
            return await call.handler(request)

    def _not_allowed(self, method: str) -> Response:
        allowed = ", ".join(sorted(self._calls))
        error = AnomalyError(
            f"{method[:16]} is not allowed here; use {allowed}",
            code="method_not_allowed",
            status=405,
        )
        response = error_response(error)
        response.headers["allow"] = allowed
        return response

    def _count(self, method: str, status: int, seconds: float) -> None:
        children = self._children.get((method, status))
        if children is None:  # cached, because looking up labels costs more than counting
            children = self._children[method, status] = (
                metrics.REQUESTS.labels(self._name, method, str(status)),
                metrics.SECONDS.labels(self._name),
            )
        children[0].inc()
        children[1].observe(seconds)
