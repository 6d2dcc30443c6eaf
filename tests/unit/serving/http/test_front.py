"""What is BentoML's goes to BentoML, all else to the REST API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serving.http.front import Front
from serving.http.origins import Origins


def routed(scope: dict[str, Any]) -> list[Any]:
    """Who got the request, or what was sent instead."""
    found: list[Any] = []

    def app(name: str) -> Any:
        async def take(*_: object) -> None:
            found.append(name)

        return take

    async def send(message: Any) -> None:
        found.append(message)

    front = Front(app("rest"), app("bento"), Origins(frozenset({"plant"}), any_host=False))
    asyncio.run(front(scope, None, send))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("method", "path", "host", "who"),
    [
        ("GET", "/metrics", b"plant", "bento"),
        ("HEAD", "/readyz", b"plant", "bento"),
        ("POST", "/metrics", b"plant", "rest"),
        ("GET", "/metrics/", b"plant", "rest"),
        ("GET", "/anything", b"plant", "rest"),
        ("GET", "/metrics", b"evil.example", "rest"),  # which refuses the host
    ],
)
def test_bentos_pages_are_a_fixed_list(method: str, path: str, host: bytes, who: str) -> None:
    headers = [(b"host", host)]
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    assert routed(scope) == [who]


def test_the_lifespan_is_bentos_and_web_sockets_are_closed() -> None:
    assert routed({"type": "lifespan"}) == ["bento"]
    assert routed({"type": "websocket"}) == [{"type": "websocket.close", "code": 1008}]
