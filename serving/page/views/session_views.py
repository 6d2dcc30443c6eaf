"""Log in and out, choose a name, and serve the status line and static files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from errors import AnomalyError
from serving.page.forms import FormReader
from serving.page.pages import SCREENS, Pages, given_query, go
from serving.page.sessions import Sessions

HOME: Final = "/"


@dataclass(frozen=True, slots=True)
class SessionViews:
    """The screens.

    Parameters
    ----------
    pages : Pages
    forms : FormReader
    sessions : Sessions
    """

    pages: Pages
    forms: FormReader
    sessions: Sessions

    async def ask(self, request: Request) -> Response:
        """Show the form for a key, or for a name if the service has no keys."""
        after = _safe_screen(given_query(request).get("next"))
        return await self.pages.show(request, "login.html", after=after, problem=None)

    async def log_in(self, request: Request) -> Response:
        """Accept a key or a name, and return to the user's previous screen."""
        form = await self.forms.read(request, named=False)
        after = _safe_screen(form.text("next"))
        try:
            if self.sessions.open:
                visitor = await self.sessions.renamed(request, form.text("who") or "")
                cookie = visitor.cookie
            else:
                cookie = await self.sessions.log_in(form.text("key") or "")
        except AnomalyError as error:
            return await self.pages.show(
                request, "login.html", error.status, after=after, problem=error.message
            )
        response = go(request, after)
        self.sessions.keep(response, request, cookie)
        return response

    async def log_out(self, request: Request) -> Response:
        """Delete the session's cookie."""
        await self.forms.read(request, named=False)
        response = go(request, "/login")
        self.sessions.keep(response, request, "")
        return response

    async def health(self, request: Request) -> Response:
        """Show only the status line, which screens request every few seconds."""
        return await self.pages.show(request, "health.html")


def _safe_screen(where: str | None) -> str:
    """Return the screen to redirect to; other addresses are never followed."""
    screens = [path for path, _ in SCREENS if path != HOME] + ["/?", "/incidents/", "/assets/"]
    text = where or HOME
    fits = any(text.startswith(path) for path in screens) and "\\" not in text
    return text if fits and "\n" not in text and "\r" not in text else HOME
