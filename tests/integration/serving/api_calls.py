"""Call the service's REST API on incidents."""

from __future__ import annotations

from typing import Any

import httpx

ROOT = "/api/v1"


def act(http: httpx.Client, one: str, verb: str, body: Any = None, **headers: str) -> Any:
    answer = http.post(f"/incidents/{one}/{verb}", json=body or {}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
    return answer.json()


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error
