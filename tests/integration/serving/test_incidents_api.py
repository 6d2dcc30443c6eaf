"""Incidents over REST, against ``bentoml serve`` and a real PostgreSQL."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, text

from db.incident_recording import record
from db.session import make_engine, transaction
from tests.fixtures.incidents import make_incidents, row
from tests.fixtures.service import Service
from tests.fixtures.settings import SETTINGS
from tests.integration.serving.api_calls import ROOT, act, refused

LATER, LATEST = ((datetime.now(UTC) + timedelta(days=n)).isoformat() for n in (1, 2))


@pytest.mark.parametrize(
    ("verb", "body", "state", "undo", "undone"),
    [
        ("acknowledge", {"why": "on it"}, "open-acknowledged", "unacknowledge", {}),
        ("shelve", {"seconds": 60, "why": "sensor swap"}, "shelved", "unshelve", {}),
        ("close", {"verdict": "expected", "why": "start-up"}, "closed", "reopen", {}),
        ("assign", {"assignee": "BEN"}, "open-unacknowledged", "assign", {"assignee": None}),
        ("ticket", {"ticket": "WO-1"}, "open-unacknowledged", "ticket", {"ticket": None}),
    ],
)
def test_each_verb_has_its_undo_and_both_are_logged(
    http: httpx.Client,
    stored: Engine,
    verb: str,
    body: dict[str, Any],
    state: str,
    undo: str,
    undone: dict[str, Any],
) -> None:
    [one] = make_incidents(stored)
    before = http.get(f"/incidents/{one}").json()
    done = act(http, one, verb, {**body, "who": "ANNA"})
    assert (done["state"], done["version"]) == (state, before["version"] + 1)
    again = act(http, one, undo, undone)
    moving = ("version", "revision", "updated_at")
    assert {k: v for k, v in again.items() if k not in moving} == {
        k: v for k, v in before.items() if k not in moving
    }
    entries = http.get(f"/incidents/{one}/log").json()["log"]
    assert [entry["who"] for entry in entries] == ["system", "ANNA", "anonymous"]
    assert entries[1]["why"] == body.get("why")
    assert entries[2]["before"].items() <= entries[1]["after"].items()


def test_who_was_faster_is_said(http: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    act(http, one, "acknowledge", {"who": "ANNA"}, **{"If-Match": '"1"'})
    late = http.post(f"/incidents/{one}/close", json={"who": "BEN"}, headers={"If-Match": "1"})
    error = refused(late, 412)
    assert error["code"] == "version_conflict"
    assert "version 2, not 1: acknowledged by ANNA at 2" in error["message"]
    # readings and comments are no reason to refuse
    with transaction(stored) as connection:
        asset = connection.execute(
            text("SELECT asset_id FROM incidents WHERE id = :id"), {"id": one}
        ).scalar_one()
        record(connection, [row(20, "high", asset=asset, event=asset)], SETTINGS, "bridge")
    act(http, one, "comment", {"why": "grease was low"})
    assert act(http, one, "close", {"who": "BEN"}, **{"If-Match": "2"})["closed_by"] == "BEN"


def test_the_same_key_has_one_effect(http: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    token = {"Idempotency-Key": f"k-{uuid4()}"}
    first = act(http, one, "comment", {"why": "heard it"}, **token)
    assert act(http, one, "comment", {"why": "heard it"}, **token) == first
    entries = http.get(f"/incidents/{one}/log").json()["log"]
    assert [entry["what"] for entry in entries] == ["opened", "commented"]
    other = http.post(f"/incidents/{one}/acknowledge", json={}, headers=token)
    assert refused(other, 409)["code"] == "idempotency_key_used"


@pytest.mark.parametrize(
    ("verb", "body", "other"),
    [
        ("comment", {"why": "heard it"}, {"why": "saw it"}),
        ("close", {"verdict": "false_alarm"}, {"verdict": "confirmed"}),
        ("close", {}, {"verdict": "confirmed"}),
        ("close", {"why": "a"}, {"why": "a", "fault_code": "BEARING"}),
        ("assign", {"assignee": "BEN"}, {"assignee": "CARL"}),
        ("ticket", {"ticket": "WO-1"}, {"ticket": None}),
        ("shelve", {"why": "a", "until": LATER}, {"why": "a", "until": LATEST}),
    ],
)  # fmt: skip
def test_a_key_with_another_body_is_refused(
    http: httpx.Client, stored: Engine, verb: str, body: Any, other: Any
) -> None:
    [one] = make_incidents(stored)
    token = {"Idempotency-Key": f"k-{uuid4()}"}
    first = act(http, one, verb, body, **token)
    assert act(http, one, verb, body, **token)["version"] == first["version"]
    again = http.post(f"/incidents/{one}/{verb}", json=other, headers=token)
    assert refused(again, 409)["code"] == "idempotency_key_used"


def test_an_asset_whose_name_holds_a_line_end_has_its_address(http: httpx.Client) -> None:
    name = f"A\r\nB\n/{uuid4()}"
    answer = http.put(f"/assets/{quote(name, safe='')}", json={"criticality": "high"})
    assert answer.json()["asset_id"] == name
    reset = http.post(f"/streams/{quote(name, safe='')}/reset", json={})
    assert reset.json()["asset_id"] == name


def test_incidents_at_the_calendars_ends_are_shown(http: httpx.Client, stored: Engine) -> None:
    ids = make_incidents(stored, many=2)
    for one, at in zip(ids, ("0001-01-01 00:00Z", "9999-12-31 23:59:59Z"), strict=True):
        with transaction(stored) as connection:
            connection.execute(
                text("UPDATE incidents SET started_at = :at, last_activity_at = :at WHERE id = :i"),
                {"at": at, "i": one},
            )
        for path in (f"/api/v1/incidents/{one}/readings", f"/incidents/{one}"):
            answer = http.get(str(http.base_url.join(path)))
            assert answer.status_code == 200, answer.text


def test_bulk_does_what_can_be_done(http: httpx.Client, stored: Engine) -> None:
    ids = make_incidents(stored, many=5)
    act(http, ids[0], "close")
    act(http, ids[1], "assign", {"assignee": "ANNA"})
    missing = str(uuid4())
    body = {
        "action": "acknowledge", "who": "ANNA",
        "incidents": [{"id": one, "version": 1} for one in [*ids, missing]],
    }  # fmt: skip
    answer = http.post("/incidents/bulk", json=body).json()
    assert answer["affected"] == 3
    found = {error["id"]: error["code"] for error in answer["errors"]}
    assert found == {
        ids[0]: "version_conflict", ids[1]: "version_conflict", missing: "not_found",
    }  # fmt: skip
    everyone = [{"id": str(uuid4())} for _ in range(1001)]
    error = refused(
        http.post("/incidents/bulk", json={"action": "close", "incidents": everyone}), 422
    )
    assert error["field"] == "incidents"


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("shelve", {"seconds": 60}, "why"),
        ("shelve", {"why": "x"}, "until"),
        ("shelve", {"why": "x", "seconds": 1e9}, "until"),
        ("shelve", {"why": "x", "until": "2020-01-01"}, "until"),
        ("shelve", {"why": "x", "until": "soon"}, "until"),
        ("close", {"verdict": "maybe"}, "verdict"),
        ("assign", {}, "assignee"),
        ("assign", {"assignee": "a\x00"}, "assignee"),
        ("acknowledge", {"whi": "x"}, "whi"),
        ("comment", {"why": ""}, "why"),
        ("acknowledge", [], None),
    ],
)
def test_a_bad_body_names_its_field_and_changes_nothing(
    http: httpx.Client, stored: Engine, verb: str, body: Any, field: str | None
) -> None:
    [one] = make_incidents(stored)
    error = refused(http.post(f"/incidents/{one}/{verb}", json=body), 422)
    assert error["field"] == field
    assert http.get(f"/incidents/{one}").json()["version"] == 1


def test_a_closed_incident_is_reopened_first(http: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    act(http, one, "close", {"verdict": "confirmed", "fault_code": "BEARING"})
    error = refused(http.post(f"/incidents/{one}/acknowledge", json={}), 409)
    assert "closed by anonymous" in error["message"]
    act(http, one, "comment", {"why": "still"})
    act(http, one, "reopen")
    act(http, one, "acknowledge")


def test_the_list_pages_counts_and_filters(http: httpx.Client, stored: Engine) -> None:
    assignee = f"N-{uuid4()}"
    ids = make_incidents(stored, many=7)
    for one in ids:
        act(http, one, "assign", {"assignee": assignee})
    for one in ids[:3]:
        act(http, one, "acknowledge")
    seen: list[str] = []
    query: dict[str, Any] = {"assignee": assignee, "limit": 3}
    while True:
        page = http.get("/incidents", params=query).json()
        seen += [one["id"] for one in page["incidents"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert sorted(seen) == sorted(ids)
    counts = {state: count for state, count in page["counts"].items() if count}
    assert counts == {"open-acknowledged": 3, "open-unacknowledged": 4}
    some = http.get("/incidents", params={"assignee": assignee, "state": "open-acknowledged"})
    assert {one["id"] for one in some.json()["incidents"]} == set(ids[:3])
    both = {"assignee": assignee, "state": "open-acknowledged,open-unacknowledged"}
    assert len(http.get("/incidents", params=both).json()["incidents"]) == 7
    for name, value in (
        ("state", "open"), ("limit", "0"), ("cursor", "x"), ("colour", "red"), ("criticality", "x"),
    ):  # fmt: skip
        assert refused(http.get("/incidents", params={name: value}), 422)["field"] == name


def test_csv_for_a_spreadsheet_runs_nothing(http: httpx.Client, stored: Engine) -> None:
    asset = f'=HYPERLINK("{uuid4()}")'
    [one] = make_incidents(stored, asset)
    answer = http.get("/incidents", params={"asset_id": asset, "format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    [found] = list(csv.DictReader(io.StringIO(answer.text)))
    assert (found["id"], found["asset_id"]) == (one, "'" + asset)


def test_its_readings_for_a_chart(http: httpx.Client, stored: Engine) -> None:
    [one] = make_incidents(stored)
    answer = http.get(f"/incidents/{one}/readings").json()
    times = [reading["timestamp"] for reading in answer["readings"]]
    assert times == ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:10+00:00"]
    assert answer["truncated"] is False
    later: dict[str, Any] = {"start_date": "2026-01-01T00:00:05Z", "limit": 1}
    answer = http.get(f"/incidents/{one}/readings", params=later).json()
    assert [reading["timestamp"] for reading in answer["readings"]] == times[1:]


@pytest.mark.parametrize("path", ["/incidents/x", f"/incidents/{UUID(int=1)}", "/incidents/x/log"])
def test_what_is_not_there_is_404(http: httpx.Client, path: str) -> None:
    assert refused(http.get(path), 404)["code"] == "not_found"


@pytest.mark.parametrize("name", ["PUMP 7", "a/b", "/", "a/", "p%", "Pümpe", "?x=1"])
def test_an_assets_criticality_whatever_it_is_called(http: httpx.Client, name: str) -> None:
    name = f"{uuid4()}{name}"
    path = "/assets/" + "".join(f"%{byte:02X}" for byte in name.encode())
    unknown = http.get(path).json()
    assert (unknown["asset_id"], unknown["criticality"], unknown["listed"]) == (
        name, "medium", False,
    )  # fmt: skip
    body = {"criticality": "high", "why": "no spare", "who": "ANNA"}
    assert http.put(path, json=body).json()["asset_id"] == name
    found = http.get(path).json()
    assert (found["criticality"], found["changed_by"], found["reason"]) == (
        "high", "ANNA", "no spare",
    )  # fmt: skip
    assert refused(http.put(path, json={"criticality": "huge"}), 422)["field"] == "criticality"


def test_keys_have_names_and_a_proxy_is_believed_only_where_it_is_trusted(
    make_service: Callable[..., Service], database_url: str
) -> None:
    def digest(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()

    keys = f"panel:operate:{digest('o')},detect:{digest('d')}"
    service = make_service(
        database_url, bundle=False, API_KEYS=keys,
        PROXY_USER_HEADER="X-Remote-User", TRUSTED_PROXIES="127.0.0.1",
    )  # fmt: skip
    engine = make_engine(database_url)
    [one] = make_incidents(engine)
    engine.dispose()
    url = f"{service.url}{ROOT}/incidents/{one}"

    def post(verb: str, key: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {"X-API-Key": key, **headers}
        return httpx.post(
            f"{url}/{verb}", json=body or {}, headers=sent, trust_env=False, timeout=60
        )

    assert refused(post("acknowledge", "d"), 403)["message"].endswith("the call needs operate")
    assert refused(post("acknowledge", "x"), 401)
    assert post("acknowledge", "o").json()["acknowledged_by"] == "panel"
    assert refused(post("unacknowledge", "o", {"who": "BEN"}), 422)["field"] == "who"
    refusals = [
        (b"X-API-Key", b"o"),
        (b"X-Remote-User", "JÖRG".encode()),
        (b"X-Forwarded-For", b"10.1.2.3"),
    ]  # fmt: skip
    answer = httpx.post(
        f"{url}/comment", json={"why": "mine"}, trust_env=False, timeout=60, headers=refusals
    )
    assert answer.status_code == 200, answer.text
    log = httpx.get(f"{url}/log", headers={"X-API-Key": "d"}, trust_env=False, timeout=60).json()[
        "log"
    ]
    assert [entry["who"] for entry in log] == ["system", "panel", "JÖRG"]


@pytest.mark.parametrize("name", ["A/B", "\n0", "line\nend\n", "\u2028", " blank "])
def test_an_asset_of_any_name_has_its_path(http: httpx.Client, name: str) -> None:
    path = "/assets/" + quote(name, safe="")
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.json()["asset_id"] == name
