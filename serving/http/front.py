"""Route a fixed list of paths to BentoML, and all other requests to the REST API."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.origins import SAFE, Origins

#: Paths that BentoML serves. Other paths would create new series in its metrics.
BENTO_PAGES = frozenset(
    {
        "/livez", "/healthz", "/readyz", "/metrics", "/docs.json", "/schema.json",
        "/static_content/swagger-ui.css", "/static_content/swagger-ui-bundle.js",
    }
)  # fmt: skip


class Front:
    """Route BentoML's pages to BentoML, all other requests to the REST API.

    Parameters
    ----------
    rest : ASGI application
        Handles all other paths, if only by 404.
    bento : ASGI application
    origins : Origins
        BentoML's paths accept the same hosts as the REST API.
    """

    def __init__(self, rest: ASGIApp, bento: ASGIApp, origins: Origins) -> None:
        self._rest = rest
        self._bento = bento
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route one request."""
        kind = scope["type"]
        if kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif kind != "http" or self._is_bentos(scope):
            await self._bento(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    def _is_bentos(self, scope: Scope) -> bool:
        if scope["path"] not in BENTO_PAGES or scope["method"] not in SAFE:
            return False
        return self._origins.knows_host(scope)
