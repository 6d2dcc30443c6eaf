"""Ids and names of assets out of paths."""

from __future__ import annotations

from uuid import UUID

import pytest

from errors import InputError, NotFound
from serving.http.paths import path_asset, path_id
from tests.fixtures.asgi import request

ID = "0b4fd1a5-3c86-57a2-8a3e-9c7a5f5f2f10"


def test_an_id_is_a_uuid_or_names_nothing() -> None:
    asked = request()
    asked.scope["path_params"] = {"id": ID, "job": "7" * 500}
    assert path_id(asked, "detection") == UUID(ID)
    with pytest.raises(NotFound, match=f"no job '{'7' * 80}'"):
        path_id(asked, "job", "job")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/assets/PUMP_1", "PUMP_1"),
        ("/assets/PUMP_1/", "PUMP_1"),
        ("/assets/A%2FB%20C", "A/B C"),
        ("/assets/%C3%A4", "ä"),
    ],
)
def test_an_asset_may_hold_an_encoded_slash(path: str, name: str) -> None:
    assert path_asset(request(path), "/assets/") == name
    reset = path.rstrip("/") + "/reset"
    assert path_asset(request(reset), "/assets/", "/reset") == name


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/assets/A/B", NotFound, "as %2F"),
        ("/assets/%FF", NotFound, "not percent-encoded UTF-8"),
        (f"/assets/{'x' * 256}", InputError, "asset_id"),
        ("/assets/a%00b", InputError, "NUL"),
    ],
)
def test_what_names_no_asset_is_refused(path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        path_asset(request(path), "/assets/")
