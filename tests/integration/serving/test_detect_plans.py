"""Plain ``/detect`` heeds what people planned and reported, as the bridge's calls do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from db.session import make_engine, transaction
from tests.fixtures.bundle import points
from tests.fixtures.service import Service

# windows that ended more than a year ago are not read
DAY = (datetime.now(UTC) - timedelta(days=1)).date()
AT = f"{DAY}T06:30:00+00:00"
SPAN = {"start": f"{DAY}T06:00:00Z", "end": f"{DAY}T07:00:00Z"}


@pytest.fixture
def item(plant: Any) -> dict[str, Any]:
    """A reading of an asset of its own that is far out."""
    features = {**points(plant, 0, 0, 1)[0].features, "pressure": 1000.0}
    return {"asset_id": f"P-{uuid4()}", "features": features, "timestamp": AT}


def metadata(service: Service, item: dict[str, Any]) -> dict[str, Any]:
    with service.client() as client:
        answer = client.post("/detect", json=item)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["metadata"]
    return found


@pytest.mark.parametrize("history", [False, True])
def test_a_maintenance_window_suppresses_within_its_span_until_it_is_deleted(
    service: Service, http: httpx.Client, item: dict[str, Any], history: bool
) -> None:
    if history:
        item["history"] = [item["features"]] * 3
    window = {**SPAN, "asset_id": item["asset_id"], "reason": "oil"}
    assert "suppressed" not in metadata(service, item)
    made = http.post("/maintenance-windows", json=window).json()
    service.until(lambda: "suppressed" in metadata(service, item))
    suppressed = metadata(service, item)["suppressed"]
    assert suppressed == {"by": "maintenance", "window": made["id"], "reason": "oil"}
    later = {**item, "timestamp": f"{DAY}T07:00:00+00:00"}
    assert "suppressed" not in metadata(service, later)
    found = http.get("/incidents", params={"asset_id": item["asset_id"]}).json()["incidents"]
    assert [one["opened_at"] for one in found] == [AT]
    http.delete(f"/maintenance-windows/{made['id']}")
    service.until(lambda: "suppressed" not in metadata(service, item))


def test_a_bad_row_of_plain_sql_costs_no_other(
    service: Service, http: httpx.Client, item: dict[str, Any], service_database_url: str
) -> None:
    bad, asset = uuid4(), item["asset_id"]
    engine = make_engine(service_database_url)
    with transaction(engine) as connection:
        add = (
            "INSERT INTO maintenance_windows (id, starts_at, ends_at, rrule, created_by)"
            " VALUES (:id, :start, :end, 'FREQ=NEVER', 'SQL')"
        )
        connection.execute(text(add), {"id": bad, **SPAN})
    try:
        made = http.post("/maintenance-windows", json={**SPAN, "asset_id": asset}).json()
        service.until(lambda: "suppressed" in metadata(service, item))
        assert metadata(service, item)["suppressed"]["window"] == made["id"]
        with service.client(base_url=service.url) as client:
            numbers = client.get("/metrics").text
            pages = [client.get(path) for path in ("/maintenance", f"/assets/{asset}")]
        assert re.search(r"^anomaly_plans_refused(\{.*\})? 1\.0$", numbers, re.MULTILINE)
        assert [one.status_code for one in pages] == [200, 200]
        assert "FREQ=NEVER&#39; is not a rule" in pages[0].text
        http.delete(f"/maintenance-windows/{made['id']}")
        assert http.delete(f"/maintenance-windows/{bad}").status_code == 200
    finally:
        with transaction(engine) as connection:
            connection.execute(text("DELETE FROM maintenance_windows WHERE id = :id"), {"id": bad})
        engine.dispose()
    assert service.log_text().count(f"window {bad} is left out") == 1


def test_a_machine_that_is_off_raises_no_incident(
    service: Service, http: httpx.Client, item: dict[str, Any]
) -> None:
    off = {"group": "default", "feature": "pressure", "operator": ">", "value": 999.0}
    http.put("/off-conditions", json={"off_conditions": [off]})
    try:
        service.until(lambda: "suppressed" in metadata(service, item))
        assert metadata(service, item)["suppressed"]["condition"] == "pressure > 999"
    finally:
        http.put("/off-conditions", json={"off_conditions": []})
    service.until(lambda: "suppressed" not in metadata(service, item))


def test_a_false_alarm_raises_what_opens_and_withdrawn_does_not(
    service: Service, http: httpx.Client, item: dict[str, Any]
) -> None:
    before = metadata(service, item)["event"]["incident"]
    assert "affected_by_feedback" not in before
    body = {"asset_id": item["asset_id"], **SPAN, "verdict": "false_alarm"}
    given = [http.post("/feedback", json=body).json() for _ in range(5)]
    needed = before["needed_log10_p"] - 2.0  # four of them reach the bound

    def incident() -> dict[str, Any]:
        found: dict[str, Any] = metadata(service, item)["event"]["incident"]
        return found

    service.until(lambda: incident().get("affected_by_feedback") is True)
    service.until(lambda: incident()["needed_log10_p"] == pytest.approx(needed))
    for one in given:
        http.post(f"/feedback/{one['id']}/withdraw", json={})
    service.until(lambda: incident() == before)
