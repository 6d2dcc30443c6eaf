"""Calls of foreign web pages are refused, programs pass."""

from __future__ import annotations

from typing import Any

import pytest

from errors import AccessDenied
from serving.http.origins import Origins

NAMED = Origins.parse("plant.example, panel.example", "0.0.0.0")
LOCAL = Origins.parse("", "127.0.0.1")


def scope(method: str = "POST", **headers: str) -> dict[str, Any]:
    raw = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return {"method": method, "headers": raw}


@pytest.mark.parametrize(
    ("origins", "asked"),
    [
        (NAMED, scope(host="plant.example:3000")),
        (NAMED, scope(host="10.1.2.3")),  # an address cannot be pointed elsewhere
        (NAMED, scope(host="[::1]:3000")),
        (NAMED, scope()),  # a program that sends no Host
        (NAMED, scope(host="plant.example", origin="https://plant.example")),
        (NAMED, scope(host="plant.example", origin="https://panel.example")),
        (NAMED, scope(host="plant.example", sec_fetch_site="same-origin")),
        (NAMED, scope("GET", host="plant.example", origin="https://evil.example")),
        (LOCAL, scope(host="localhost:3000", origin="http://localhost:3000")),
        (Origins.parse("", "0.0.0.0"), scope(host="whatever.example")),
    ],
)
def test_programs_and_own_pages_pass(origins: Origins, asked: dict[str, Any]) -> None:
    origins.check(asked)
    assert origins.knows_host(asked)


@pytest.mark.parametrize(
    ("origins", "asked", "code"),
    [
        (NAMED, scope(host="evil.example"), "unknown_host"),
        (LOCAL, scope("GET", host="rebound.example"), "unknown_host"),
        (NAMED, scope(host="plant.example", origin="https://evil.example"), "foreign_origin"),
        (NAMED, scope(host="plant.example", origin="null"), "foreign_origin"),
        (NAMED, scope(host="plant.example", sec_fetch_site="cross-site"), "foreign_origin"),
        (LOCAL, scope(host="localhost:3000", origin="http://localhost:8080"), "foreign_origin"),
        (LOCAL, scope(host="localhost", origin="http://[bad"), "foreign_origin"),
        (LOCAL, scope(host="localhost:3000", origin="http://localhost:99999"), "foreign_origin"),
    ],
)
def test_foreign_pages_are_refused(origins: Origins, asked: dict[str, Any], code: str) -> None:
    with pytest.raises(AccessDenied) as caught:
        origins.check(asked)
    assert (caught.value.status, caught.value.code) == (403, code)
