"""The REST application as an ASGI application, without a server."""

from __future__ import annotations

import asyncio

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from serving.auth import Keys
from serving.http.origins import Origins
from serving.http.rest_app import PREFIX, ROOM, Call, Handler, RestApp


def says(text: str) -> Handler:
    async def handle(_: Request) -> Response:
        return PlainTextResponse(text)

    return handle


async def answers(app: RestApp, paths: tuple[str, ...]) -> list[str]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return [(await client.get(path)).text for path in paths]


def test_a_fixed_path_comes_before_the_templates_that_it_fits() -> None:
    assets, one = f"{ROOM}/assets/{{id:name}}", f"{PREFIX}/{{id}}"
    top, detect = f"{ROOM}/assets/top", f"{PREFIX}/detect"
    app = RestApp(Keys([]), Origins(frozenset(), any_host=True))
    app.serve([Call(path, "GET", "read", says(path)) for path in (assets, one, top, detect)])
    asked = (detect, f"{detect}/", f"{PREFIX}/7", top, f"{ROOM}/assets/a/b")
    assert asyncio.run(answers(app, asked)) == [detect, detect, one, top, assets]
