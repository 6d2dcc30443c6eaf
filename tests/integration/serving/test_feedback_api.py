"""Feedback, fault codes and KPIs over REST, against ``bentoml serve`` and a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, text

from db.session import transaction
from tests.fixtures.incidents import make_incidents
from tests.fixtures.service import Service
from tests.integration.serving.api_calls import ROOT, act, refused

SPAN = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z"}


@pytest.fixture(scope="module", autouse=True)
def _shipped_codes(service: Service) -> None:
    """Begin with the shipped list, whatever list the session's service was left with."""
    with service.client(base_url=f"{service.url}{ROOT}") as client:
        assert client.put("/fault-codes", json={"fault_codes": []}).status_code == 200


def give(http: httpx.Client, one: str, verdict: str, **more: Any) -> dict[str, Any]:
    answer = http.post(f"/incidents/{one}/feedback", json={"verdict": verdict, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def raised(given: dict[str, Any]) -> float:
    return float(given["effects"]["incident_threshold"]["raised_by"])


def test_feedback_is_about_the_incidents_span_and_says_what_it_changes(
    http: httpx.Client, stored: Engine
) -> None:
    [one] = make_incidents(stored)
    incident = http.get(f"/incidents/{one}").json()
    given = give(http, one, "false_alarm", note="a truck", who="ANNA")
    assert (given["starts_at"], given["ends_at"]) == (
        incident["started_at"], incident["last_activity_at"],
    )  # fmt: skip
    assert {name: given[name] for name in ("asset_id", "verdict", "note", "created_by")} == {
        "asset_id": incident["asset_id"], "verdict": "false_alarm", "note": "a truck",
        "created_by": "ANNA",
    }  # fmt: skip
    effects = given["effects"]
    assert effects["training"] == "healthy"
    assert effects["incident_threshold"] == {
        "false_alarms": 1, "raised_by": 0.5, "at_most": 2.0, "days": 30,
    }  # fmt: skip
    assert incident["asset_id"] in effects["says"]
    entry = http.get(f"/incidents/{one}/log").json()["log"][-1]
    assert (entry["what"], entry["who"], entry["why"]) == (
        "feedback: false_alarm", "ANNA", "a truck",
    )  # fmt: skip
    for verdict, training in (("confirmed", "left_out"), ("expected", "left_out"),
                              ("unsure", "none")):  # fmt: skip
        effects = give(http, one, verdict)["effects"]
        assert effects["training"] == training
        assert effects["incident_threshold"]["raised_by"] == 0.0  # the newest counts


def test_withdrawing_undoes_it_exactly_and_once(http: httpx.Client, stored: Engine) -> None:
    asset = f"F-{uuid4()}"
    [one] = make_incidents(stored, asset)
    first = give(http, one, "false_alarm")
    second = http.post("/feedback", json={"asset_id": asset, **SPAN, "verdict": "false_alarm"})
    assert raised(second.json()) == 1.0
    undone = http.post(f"/feedback/{second.json()['id']}/withdraw", json={"who": "BEN"}).json()
    assert (raised(undone), undone["effects"]["training"]) == (0.5, "none")
    assert raised(http.post(f"/feedback/{first['id']}/withdraw", json={"why": "no"}).json()) == 0.0
    again = http.post(f"/feedback/{second.json()['id']}/withdraw", json={"who": "EVE"}).json()
    assert (again["withdrawn_by"], again["withdrawn_at"]) == ("BEN", undone["withdrawn_at"])
    kept = http.get("/feedback", params={"asset_id": asset}).json()["feedback"]
    assert [row["withdrawn_by"] for row in kept] == ["BEN", "anonymous"]
    assert {k: v for k, v in kept[1].items() if not k.startswith("withdrawn")} == {
        k: v for k, v in first.items() if k != "effects" and not k.startswith("withdrawn")
    }
    whats = [entry["what"] for entry in http.get(f"/incidents/{one}/log").json()["log"]]
    assert whats == ["opened", "feedback: false_alarm", "feedback withdrawn: false_alarm"]
    assert refused(http.post(f"/feedback/{uuid4()}/withdraw", json={}), 404)


def test_closing_with_a_verdict_is_feedback_and_reopening_withdraws_it(
    http: httpx.Client, stored: Engine
) -> None:
    [one] = make_incidents(stored)
    token = {"Idempotency-Key": f"c-{uuid4()}"}
    body = {"verdict": "false_alarm", "why": "a truck", "who": "ANNA"}
    closed = act(http, one, "close", body, **token)
    assert (raised(closed["feedback"]), closed["feedback"]["note"]) == (0.5, "a truck")
    assert act(http, one, "close", body, **token)["feedback"]["id"] == closed["feedback"]["id"]
    assert len(http.get("/feedback", params={"incident": one}).json()["feedback"]) == 1
    act(http, one, "reopen", {"who": "BEN"})
    [feedback] = http.get("/feedback", params={"incident": one}).json()["feedback"]
    assert (feedback["withdrawn_by"], feedback["withdrawn_why"]) == ("BEN", "reopened")
    assert "feedback" not in act(http, one, "close", {"who": "BEN"})
    assert len(http.get("/feedback", params={"incident": one}).json()["feedback"]) == 1


def test_withdrawing_what_closing_said_leaves_the_incident_closed_without_a_verdict(
    http: httpx.Client, stored: Engine
) -> None:
    [one] = make_incidents(stored)
    closed = act(http, one, "close", {"verdict": "confirmed", "fault_code": "BEARING"})
    http.post(f"/feedback/{closed['feedback']['id']}/withdraw", json={})
    now = http.get(f"/incidents/{one}").json()
    assert (now["state"], now["verdict"], now["fault_code"]) == ("closed", None, None)


def test_many_are_closed_with_one_verdict(http: httpx.Client, stored: Engine) -> None:
    ids = make_incidents(stored, many=3)
    http.post("/incidents/bulk", json={
        "action": "close", "incidents": [{"id": one} for one in ids],
        "arguments": {"verdict": "expected"},
    })  # fmt: skip
    for one in ids:
        [feedback] = http.get("/feedback", params={"incident": one}).json()["feedback"]
        assert (feedback["verdict"], feedback["by_closing"]) == ("expected", True)


def test_the_same_key_gives_it_once_and_another_use_is_refused(
    http: httpx.Client, stored: Engine
) -> None:
    asset, token = f"F-{uuid4()}", {"Idempotency-Key": f"f-{uuid4()}"}
    body = {"asset_id": asset, **SPAN, "verdict": "expected", "note": "start-up"}
    first, second = (http.post("/feedback", json=body, headers=token) for _ in range(2))
    assert first.json() == second.json()
    other = http.post("/feedback", json={**body, "verdict": "confirmed"}, headers=token)
    assert refused(other, 409)["code"] == "idempotency_key_used"
    known = f"feedback {first.json()['id']} (expected, asset '{asset}') by 'anonymous'"
    assert known in refused(other, 409)["message"]
    longer = {**body, "end": "2026-01-01T02:00:00Z"}
    assert refused(http.post("/feedback", json=longer, headers=token), 409)
    assert len(http.get("/feedback", params={"asset_id": asset}).json()["feedback"]) == 1
    [one] = make_incidents(stored)
    assert refused(
        http.post(f"/incidents/{one}/feedback", json={"verdict": "unsure"}, headers=token), 409
    )


def test_pages_go_backwards_in_time_and_miss_none(http: httpx.Client) -> None:
    asset = f"F-{uuid4()}"
    for verdict in ("unsure", "expected", "confirmed", "unsure", "expected"):
        http.post("/feedback", json={"asset_id": asset, **SPAN, "verdict": verdict})
    found, cursor = [], None
    while True:
        query = {"asset_id": asset, "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = http.get("/feedback", params=query).json()
        found += [row["verdict"] for row in page["feedback"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == ["expected", "unsure", "confirmed", "expected", "unsure"]
    only = http.get("/feedback", params={"asset_id": asset, "verdict": "confirmed"}).json()
    assert len(only["feedback"]) == 1
    page = http.get("/feedback", params={"asset_id": asset, "limit": "2"}).json()
    other = {"asset_id": f"{asset}-other", "cursor": page["next_cursor"]}
    for query in (other, {"asset_id": asset, "cursor": "e30"}):
        assert refused(http.get("/feedback", params=query), 422)["code"] == "bad_cursor"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"verdict": "wrong"}, "verdict"),
        ({"asset_id": ""}, "asset_id"),
        ({"asset_id": "a\u0000"}, "asset_id"),
        ({"start": "soon"}, "start"),
        ({"end": "2025-01-01T00:00:00Z"}, "end"),
        ({"note": 1}, "note"),
        ({"sensor": "S"}, "sensor"),
    ],
)
def test_wrong_feedback_is_refused_by_name(
    http: httpx.Client, change: dict[str, Any], field: str
) -> None:
    body = {"asset_id": "A", **SPAN, "verdict": "unsure", **change}
    error = refused(http.post("/feedback", json=body), 422)
    assert error["field"] == field
    assert field in error["message"]


def test_fault_codes_ship_are_replaced_and_bind(http: httpx.Client, stored: Engine) -> None:
    shipped = http.get("/fault-codes").json()
    assert shipped["source"] == "shipped"
    assert len({one["code"] for one in shipped["fault_codes"]}) == len(shipped["fault_codes"]) > 20
    assert all(one["action"] and one["name"] for one in shipped["fault_codes"])
    one, two, three = make_incidents(stored, many=3)
    assert "warning" not in give(http, one, "confirmed", fault_code="BEARING")
    unlisted = give(http, one, "confirmed", fault_code="OWN-1")
    assert "'OWN-1' is not on the shipped list" in unlisted["warning"]
    closed = act(http, one, "close", {"verdict": "confirmed", "fault_code": "OWN-2"})
    assert "OWN-2" in closed["feedback"]["warning"]
    own = [{"code": "OWN-1", "name": "Own", "action": "Act."}, {"code": "B", "name": "C"}]
    try:
        kept = http.put("/fault-codes", json={"fault_codes": own, "who": "ANNA"}).json()
        assert kept == {
            "fault_codes": [own[0], {**own[1], "action": ""}], "source": "plant",
        }  # fmt: skip
        bad = http.post(
            f"/incidents/{two}/close", json={"verdict": "confirmed", "fault_code": "BEARING"}
        )
        assert refused(bad, 422)["field"] == "fault_code"
        assert http.get(f"/incidents/{two}").json()["state"] == "open-unacknowledged"
        answer = http.post(
            f"/incidents/{three}/feedback", json={"verdict": "confirmed", "fault_code": "BEARING"}
        )
        assert "'BEARING' is not on the plant's list" in refused(answer, 422)["message"]
        twice = http.put("/fault-codes", json={"fault_codes": [own[0], own[0]]})
        assert refused(twice, 422)["field"] == "fault_codes[1].code"
        assert http.get("/fault-codes").json() == kept
    finally:
        again = http.put("/fault-codes", json={"fault_codes": []}).json()
    assert again == shipped


def test_kpis_and_what_makes_most_of_the_load(http: httpx.Client, stored: Engine) -> None:
    asset = f"F-{uuid4()}"
    make_incidents(stored, asset)
    span = {"start_date": "2026-01-01T00:00:00Z", "end_date": "2026-01-02T00:00:00Z"}
    found = http.get("/alarm-kpis", params=span).json()
    assert found["alarms"] >= 1
    assert found["figures"]["per_day"]["value"] == found["alarms"]
    assert found["figures"]["per_day"]["acceptable"] == 150
    assert any("ISA-18.2" in one for one in found["sources"])
    for by in ("count", "chattering", "standing"):
        top = http.get("/incidents/top", params={"by": by, "limit": 1000, **span})
        assert top.status_code == 200, top.text
        assert top.json()["by"] == by
    count = http.get("/incidents/top", params={"limit": 1000, **span}).json()["top"]
    assert asset in [one["asset_id"] for one in count]
    assert http.get("/alarm-kpis").json()["operator_positions"] == 1
    assert refused(http.get("/incidents/top", params={"by": "noise"}), 422)["field"] == "by"
    later = {"start_date": "2026-01-02", "end_date": "2026-01-01"}
    assert refused(http.get("/alarm-kpis", params=later), 422)["field"] == "start_date"


def test_a_name_is_forgotten_in_feedback_and_fault_codes(
    http: httpx.Client, stored: Engine
) -> None:
    from db.forget import forget

    name, asset = f"N{uuid4().hex}", f"F-{uuid4()}"
    body = {"asset_id": asset, **SPAN, "verdict": "unsure", "note": f"{name} saw it", "who": name}
    made = http.post("/feedback", json=body).json()
    http.post(f"/feedback/{made['id']}/withdraw", json={"who": name, "why": f"says {name}"})
    code = {"code": "X", "name": "X"}
    http.put("/fault-codes", json={"fault_codes": [code], "who": name})
    with transaction(stored) as connection:
        pseudonym, changed = forget(connection, name)
        assert (changed["feedback"], changed["fault_codes"]) == (1, 1)
        left = connection.execute(text("SELECT changed_by FROM fault_codes")).scalar_one()
    assert left == pseudonym
    http.put("/fault-codes", json={"fault_codes": []})
    assert name not in http.get("/feedback", params={"asset_id": asset}).text


def test_status_shows_the_precision_of_what_people_judged(
    http: httpx.Client, service: Service, stored: Engine
) -> None:
    right, wrong = make_incidents(stored, many=2)
    give(http, right, "confirmed")
    feedback = give(http, wrong, "false_alarm")

    def precision() -> dict[str, Any]:
        with service.client() as client:
            found: dict[str, Any] = client.get("/status").json()["precision"]
        return found

    service.until(lambda: "g" in precision()["groups"])
    found = precision()
    assert found["days"] == 90
    counts = found["groups"]["g"]
    assert counts["precision"] == counts["confirmed"] / (
        counts["confirmed"] + counts["false_alarms"]
    )
    http.post(f"/feedback/{feedback['id']}/withdraw", json={})
    fewer = counts["false_alarms"] - 1
    service.until(lambda: precision()["groups"]["g"]["false_alarms"] == fewer)


def test_retries_at_the_same_time_give_it_once(http: httpx.Client) -> None:
    asset, token = f"F-{uuid4()}", {"Idempotency-Key": f"f-{uuid4()}"}
    body = {"asset_id": asset, **SPAN, "verdict": "false_alarm"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: http.post("/feedback", json=body, headers=token), range(16))
        )
    assert {(one.status_code, one.json()["id"]) for one in answers} == {
        (201, answers[0].json()["id"])
    }
    assert len(http.get("/feedback", params={"asset_id": asset}).json()["feedback"]) == 1


def test_closing_and_withdrawing_at_the_same_time_leave_one_verdict(
    http: httpx.Client, stored: Engine
) -> None:
    [one] = make_incidents(stored)

    def press(k: int) -> int:
        if k % 2:
            return http.post(f"/incidents/{one}/close", json={"verdict": "confirmed"}).status_code
        return http.post(f"/incidents/{one}/reopen", json={}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(press, range(24))) <= {200, 409}
    incident = http.get(f"/incidents/{one}").json()
    feedback = http.get("/feedback", params={"incident": one, "withdrawn": "false"}).json()[
        "feedback"
    ]
    assert [row["verdict"] for row in feedback] == (
        ["confirmed"] if incident["state"] == "closed" else []
    )
