"""Render screens by Jinja2 with autoescaping, and set headers that exclude other origins."""

from __future__ import annotations

import asyncio
import gzip
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from errors import AccessDenied, AnomalyError, PreconditionFailed
from models.detectors.base import MODEL_NAMES
from schemas import CRITICALITIES
from serving.auth import Role
from serving.http.bodies import printable, read_query
from serving.page import words
from serving.page.health_line import HealthLine
from serving.page.sessions import Sessions, Visitor
from serving.page.static_files import StaticFiles

#: Messages at the top of a screen, each made by :func:`message`.
Messages = Sequence[dict[str, str]]
TEMPLATES = Path(__file__).parent / "templates"
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
SCREENS: Final = (
    ("/", "Incidents"),
    ("/fleet", "Fleet"),
    ("/maintenance", "Maintenance"),
    ("/plant", "Plant"),
    ("/kpis", "Alarm KPIs"),
    ("/models", "Models"),
)


#: Level of compression: a megabyte takes some 10 ms; higher levels take longer for little.
PACKED: Final = 4


class Pages:
    """Render the screens for users with a session; errors are rendered as screens, too.

    Parameters
    ----------
    sessions : Sessions
    health : HealthLine
    static : StaticFiles
    """

    def __init__(self, sessions: Sessions, health: HealthLine, static: StaticFiles) -> None:
        self._sessions = sessions
        self._health = health
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True, auto_reload=False, cache_size=100,
        )  # fmt: skip
        self._environment.globals.update(
            once=lambda: secrets.token_hex(8),
            static=static.url, screens=SCREENS, states=words.STATE_WORDS,
            meanings=words.STATE_MEANINGS, verdicts=words.VERDICT_WORDS, happened=words.LOG_WORDS,
            detectors=words.DETECTOR_WORDS, detector_names=MODEL_NAMES, severities=CRITICALITIES,
        )  # fmt: skip
        self._environment.filters.update(
            figure=words.figure, wrong=words.what_is_wrong, usual=words.usual, stream=words.stream,
            drifted=words.drifted, progress=words.progress, trained=words.trained,
            ago=words.ago, utc=words.utc, iso=words.iso, utc_field=words.utc_field,
            off=words.when_off, mark=words.mark, suppression=words.suppression,
            asset=asset_address,
            query=lambda given: urlencode({k: v for k, v in given.items() if v}),
        )  # fmt: skip

    async def show(
        self, request: Request, template: str, status: int = 200, **content: Any
    ) -> Response:
        """Render a template with the data of every screen: user and status line.

        Parameters
        ----------
        request : Request
        template : str
            Name of its file.
        status : int
            HTTP status of the response.
        **content
            Further variables of the template.
        """
        visitor = await self.visitor(request)
        packs = "gzip" in request.headers.get("accept-encoding", "")
        # in a thread, because a list of a thousand entries would delay detections
        body = await asyncio.to_thread(
            self._render,
            template,
            packs=packs,
            visitor=visitor,
            open_service=self._sessions.open,
            health=await self._health.look(),
            here=request.url.path,
            address=_address(request),
            **content,
        )
        response = HTMLResponse(body, status, headers=HEADERS)
        response.headers["vary"] = "accept-encoding"
        if packs:
            response.headers["content-encoding"] = "gzip"
        self._sessions.keep(response, request, visitor.cookie)
        return response

    def _render(self, template: str, *, packs: bool, **content: Any) -> bytes:
        """Render a template; compress it, since a thousand assets are a megabyte.

        The length tells other web pages nothing of a form's token, because the cookie is
        SameSite=Strict: what they request is shown without a session.
        """
        text = self._environment.get_template(template).render(**content)
        body = text.encode("utf-8", "replace")
        return gzip.compress(body, PACKED, mtime=0) if packs else body

    async def visitor(self, request: Request) -> Visitor:
        """Return the user, determined once per request."""
        found: Visitor | None = getattr(request.state, "visitor", None)
        if found is None:
            found = request.state.visitor = await self._sessions.visitor(request)
        return found

    async def admit(self, request: Request, role: Role) -> None:
        """See :class:`serving.http.rest_app.Guard`."""
        visitor = await self.visitor(request)
        if visitor.role is None:
            raise AccessDenied("log in with your access key")
        if not visitor.may(role):
            text = f"your key has the role {visitor.role}, but this needs {role}"
            raise AccessDenied(text, status=403)

    async def refuse(self, request: Request, error: AnomalyError) -> Response:
        """See :class:`serving.http.rest_app.Guard`."""
        if error.status == 401:
            return go(request, f"/login?{urlencode({'next': _address(request)})}")
        return await self.show(request, "error.html", error.status, error=printable(
            error.entry()))  # fmt: skip


def _address(request: Request) -> str:
    """Return a request's path and query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def asset_address(asset: str, **query: str) -> str:
    """Return the address of an asset's screen, with a query.

    Browsers take ``.`` and ``..`` in a path for folders, encoded or not, so these names go into
    the query.
    """
    if asset in (".", ".."):
        path, query = "/assets", {"asset_id": asset, **query}
    else:
        path = f"/assets/{quote(asset, safe='')}"
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def go(request: Request, where: str) -> Response:
    """Redirect the browser to another screen, also if a script sent the request."""
    if request.headers.get("hx-request"):
        return Response(headers={"hx-redirect": quote(where, safe="/?=&%+,:;@#")})
    return RedirectResponse(where, 303)


def message(kind: Literal["done", "failed"], text: str, about: str = "") -> dict[str, str]:
    """Return a message for the top of a screen, about one object or all.

    Parameters
    ----------
    kind : {"done", "failed"}
    text : str
    about : str
        The object it is about; empty: all.
    """
    return {"kind": kind, "text": text, "about": about}


def failed(error: AnomalyError, about: str = "") -> dict[str, str]:
    """Return the message of an error, with the form's labels instead of field names."""
    text, name = error.message, error.field or ""
    if name in words.FIELD_WORDS:
        text = f"{words.FIELD_WORDS[name]}: {text.removeprefix(f'{name}: ')}"
        text = text.replace("end_date", words.FIELD_WORDS["end_date"])
    if isinstance(error, PreconditionFailed):
        text = f"somebody was faster: {text.partition(': ')[2] or text}"
    return message("failed", text, about)


def given_query(request: Request) -> dict[str, str]:
    """Parse the query's parameters; an empty form field counts as absent."""
    return {name: value for name, value in read_query(request).items() if value.strip()}
