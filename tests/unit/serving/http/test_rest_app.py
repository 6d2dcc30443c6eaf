"""The REST application as an ASGI application, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from errors import Conflict
from schemas import API_PREFIX, API_ROOT
from serving.auth import Keys, digest_of
from serving.http.origins import Origins
from serving.http.rest_app import Call, Handler, RestApp, label
from tests.fixtures.asgi import answer

KEYS = f"panel:read:{digest_of('secret')}"


def says(text: str) -> Handler:
    async def handle(_: Request) -> Response:
        return PlainTextResponse(text)

    return handle


def raises(error: Exception) -> Handler:
    async def handle(_: Request) -> Response:
        raise error

    return handle


def test_a_fixed_path_comes_before_the_templates_that_it_fits() -> None:
    assets, one = f"{API_ROOT}/assets/{{id:name}}", f"{API_PREFIX}/{{id}}"
    top, detect = f"{API_ROOT}/assets/top", f"{API_PREFIX}/detect"
    calls = [Call(path, "GET", "read", says(path)) for path in (assets, one, top, detect)]
    asked = {
        detect: detect,
        f"{detect}/": detect,
        f"{API_PREFIX}/7": one,
        top: top,
        f"{API_ROOT}/assets/a/b": assets,
        f"{API_ROOT}/assets/a%0Ab": assets,
    }
    for path, found in asked.items():
        assert answer(calls, "GET", path).text == found


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/elsewhere", 404, "not_found"),
        ("PUT", "/one", 405, "method_not_allowed"),
        ("GET", "/conflict", 409, "conflict"),
        ("GET", "/broken", 500, "internal_error"),
    ],
)
def test_every_failure_is_answered_in_json(method: str, path: str, status: int, code: str) -> None:
    calls = [
        Call("/one", "GET", None, says("one")),
        Call("/conflict", "GET", None, raises(Conflict("taken"))),
        Call("/broken", "GET", None, raises(ZeroDivisionError("a secret"))),
    ]
    found = answer(calls, method, path)
    assert (found.status_code, found.json()["error"]["code"]) == (status, code)
    assert "secret" not in found.text
    assert found.headers.get("allow") == ("GET" if status == 405 else None)


def test_head_is_get_without_the_body() -> None:
    found = answer([Call("/one", "GET", None, says("one"))], "HEAD", "/one")
    assert (found.status_code, found.content, found.headers["content-length"]) == (200, b"", "3")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": "secret"}, 200),
        ({"Authorization": "Bearer secret"}, 200),
    ],
)
def test_a_call_with_a_role_needs_a_key(headers: dict[str, str], status: int) -> None:
    calls = [Call("/one", "GET", "read", says("one")), Call("/two", "GET", "train", says("two"))]
    assert answer(calls, "GET", "/one", keys=KEYS, headers=headers).status_code == status
    train = answer(calls, "GET", "/two", keys=KEYS, headers=headers)
    assert train.status_code == (403 if status == 200 else 401)


def test_calls_beyond_the_limit_are_refused_but_open_ones_are_not() -> None:
    asked = [Call("/one", "GET", "read", says("one")), Call("/health", "GET", None, says("well"))]
    app = RestApp(Keys([]), Origins(frozenset(), any_host=True), max_concurrency=0)
    found: dict[str, Any] = {}
    for path in ("/one", "/health"):
        response = answer(asked, "GET", path, app=app)
        found[path] = response.status_code, response.headers.get("retry-after")
    assert found == {"/one": (429, "1"), "/health": (200, None)}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{API_PREFIX}/detect", "/detect"),
        (API_PREFIX, ""),
        (f"{API_ROOT}/incidents/{{id}}", "/incidents/{id}"),
        ("/detect", "root/detect"),
        ("/", "/"),
    ],
)
def test_metrics_call_a_path_by_its_end(path: str, name: str) -> None:
    assert label(path) == name
