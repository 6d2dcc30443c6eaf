"""The page with access keys: whom it lets do what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from db.session import make_engine, transaction
from tests.fixtures.incidents import make_incidents
from tests.fixtures.service import MakeService, Service
from tests.integration.serving.page_forms import messages, token, visit


def entry(name: str, role: str, key: str) -> str:
    return f"{name}:{role}:{hashlib.sha256(key.encode()).hexdigest()}"


KEYS = [entry("ANNA", "operate", "anna-key"), entry("RITA", "read", "rita-key")]


@pytest.fixture(scope="module")
def closed_url(shared_database: Callable[[str], str]) -> str:
    return shared_database("page_closed")


@pytest.fixture(scope="module")
def closed(closed_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with keys, and no model."""
    folder: Path = tmp_path_factory.mktemp("closed")
    service = Service(folder, closed_url, API_KEYS=",".join(KEYS))
    service.start(ready=False)
    service.wait_login()
    yield service
    service.stop()


def log_in(page: httpx.Client, key: str) -> httpx.Response:
    form = token(page.get("/login").text)
    return page.post("/login", data={"key": key, "form_token": form})


def test_without_a_key_nothing_is_shown(closed: Service) -> None:
    with visit(closed) as page:
        for path in ("/", "/?state=all", f"/incidents/{UUID(int=1)}"):
            shown = page.get(path)
            assert shown.url.path == "/login"
            assert "Access key" in shown.text
            assert "Working" not in shown.text
        assert "Log in to see" in page.get("/working").text
        wrong = log_in(page, "guess")
        assert wrong.status_code == 401
        assert "not an access key" in wrong.text


def test_whoever_logs_in_sees_what_the_link_names(closed: Service) -> None:
    with visit(closed) as page:
        where = "/?state=all&asset_id=P%C3%BCmpe+7%26&criticality=high"
        asked = page.get(where)
        fields = {"key": "rita-key", "form_token": token(asked.text)}
        answer = page.post("/login", data=fields | {"next": asked.url.params["next"]})
        assert answer.url.raw_path.decode() == where
        page.cookies.clear()
        later = page.post("/maintenance", data={"do": "preview"})
        assert (later.url.path, later.url.params["next"]) == ("/login", "/maintenance")


def test_a_key_logs_in_under_its_name_and_role(closed: Service, closed_url: str) -> None:
    engine = make_engine(closed_url)
    [one] = make_incidents(engine)
    with visit(closed) as rita, visit(closed) as anna:
        assert "RITA" in log_in(rita, "rita-key").text
        assert ">Acknowledge<" not in rita.get(f"/incidents/{one}").text
        fields = {"verb": "acknowledge", "version": "1"}
        form = {"form_token": token(rita.get("/").text)}
        refused = rita.post(f"/incidents/{one}", data=fields | form)
        assert refused.status_code == 403
        assert "role read, but this needs operate" in refused.text
        log_in(anna, "anna-key")
        form = {"form_token": token(anna.get(f"/incidents/{one}").text)}
        assert "as ANNA" in messages(anna.post(f"/incidents/{one}", data=fields | form))
        form = {"form_token": token(anna.get("/").text)}
        assert anna.post("/logout", data=form).url.path == "/login"
        assert anna.get("/").url.path == "/login"
    with transaction(engine) as connection:
        query = text("SELECT who FROM incident_log WHERE what = 'acknowledged'")
        assert list(connection.execute(query).scalars()) == ["ANNA"]
    engine.dispose()


def test_a_session_ends_with_its_key(make_service: MakeService, database_url: str) -> None:
    service = make_service(
        database_url, bundle=False, API_KEYS=",".join(KEYS), TRUSTED_PROXIES="127.0.0.1"
    )
    with visit(service) as page:
        # behind a proxy that ends TLS, no browser sends the cookie in the clear
        service.wait_login()
        over_tls = page.get("/login", headers={"x-forwarded-proto": "https"})
        assert "; secure" in over_tls.headers["set-cookie"].lower()
        page.cookies.clear()
        assert "; secure" not in page.get("/login").headers["set-cookie"].lower()
        log_in(page, "anna-key")
        assert page.get("/").url.path == "/"
        cookie = dict(page.cookies)
    service.stop()
    other = Service(service.var_dir, database_url, API_KEYS=KEYS[1])
    other.start(ready=False)
    try:
        with visit(other) as page:
            other.wait_login()
            page.cookies.update(cookie)
            assert page.get("/").url.path == "/login"
            page.cookies.clear()
            assert "RITA" in log_in(page, "rita-key").text  # the database still signs
    finally:
        other.stop()
