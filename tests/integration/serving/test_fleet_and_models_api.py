"""The fleet over time, the registry's versions and training jobs over REST."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from db.queries.copy import insert_detections
from db.session import make_engine, transaction
from models.registry.base import CHALLENGER, CHAMPION, open_registry
from tests.fixtures.service import MakeService, Service

ROOT = "/api/v1"
# in the middle of an hour: which readings share a step of an hour must not depend on when this runs
NOW = datetime.now(UTC).replace(minute=30, second=0, microsecond=0) - timedelta(hours=1)


def reading(asset: str, minutes: float, score: float, **metadata: Any) -> dict[str, Any]:
    return {
        "id": uuid4(), "timestamp": NOW - timedelta(minutes=minutes), "asset_id": asset,
        "sensor_id": "S1", "feature": None, "group_name": "g", "bundle_version": "1",
        "asset_criticality": "medium", "is_anomaly": score >= 0.5, "threshold": 0.5,
        "criticality": "low", "final_score": score, "p": 1e-3, "scores": [],
        "features": {"rms": 1.0}, "metadata": metadata,
    }  # fmt: skip


@pytest.fixture
def client(make_service: MakeService, database_url: str) -> Iterator[tuple[Service, httpx.Client]]:
    service = make_service(database_url)
    with httpx.Client(base_url=service.url + ROOT, trust_env=False, timeout=60) as client:
        yield service, client


@pytest.mark.parametrize("query", ["end_date=0001-01-01", "end_date=9999-12-31T23:59:59.999999Z"])
def test_a_span_at_the_calendars_ends_is_refused(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/fleet?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["field"] in ("start_date", "end_date")


def test_fleet_says_worst_score_and_state_of_each_step(
    client: tuple[Service, httpx.Client], database_url: str
) -> None:
    _, http = client
    engine = make_engine(database_url)
    suppressed = {"suppressed": {"by": "maintenance", "window": "w"}}
    rows = [
        reading("A", 200, 0.1),
        reading("A", 130, 0.2), reading("A", 129, 0.93),
        reading("A", 70, 0.99, **suppressed),
        reading("B", 130, 0.1, warming_up=True), reading("B", 70, 0.1, suppressed={"by": "off"}),
    ]  # fmt: skip
    with transaction(engine) as connection:
        insert_detections(connection, rows)
        connection.execute(
            text("INSERT INTO stream_states (topic_id, partition, asset_id, state)"
                 " VALUES (:id, 0, 'QUIET/1', '{}')"), {"id": UUID(int=1)},
        )  # fmt: skip
    engine.dispose()
    span = {"start_date": (NOW - timedelta(minutes=240)).isoformat(), "step": "3600"}
    for _ in range(2):  # the second is answered from memory
        answer = http.get("/fleet", params=span).json()
        lanes = {lane["asset_id"]: lane for lane in answer["assets"]}
        assert list(lanes) == ["A", "B", "QUIET/1"]
        steps = len(lanes["A"]["states"])
        assert answer["step_s"] == 3600
        start = datetime.fromisoformat(answer["start"])
        assert start.minute == 0

        def at(minutes: float, start: datetime = start) -> int:
            return int((NOW - timedelta(minutes=minutes) - start).total_seconds() // 3600)

        a, b = lanes["A"], lanes["B"]
        assert (a["states"][at(129)], a["scores"][at(129)]) == ("anomaly", 0.93)
        assert a["severities"][at(129)] == "critical"
        assert (a["states"][at(70)], a["severities"][at(70)]) == ("maintenance", None)
        assert (a["states"][at(200)], a["scores"][at(200)]) == ("normal", 0.1)
        assert (b["states"][at(130)], b["states"][at(70)]) == ("warming_up", "off")
        assert lanes["QUIET/1"]["states"] == ["silent"] * steps
        assert lanes["QUIET/1"]["scores"] == [None] * steps
    wrong = http.get("/fleet", params={"step": "60"})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["field"] == "step"
    page = httpx.get(f"{http.base_url.copy_with(path='/fleet')}", trust_env=False, timeout=60).text
    assert "/assets/QUIET%2F1" in page
    assert "in maintenance" in page


def test_versions_are_listed_promoted_and_rolled_back(
    client: tuple[Service, httpx.Client], bundle_dir: Path
) -> None:
    service, http = client
    registry = open_registry(None, "anomaly-detection", service.var_dir)
    second = registry.register(bundle_dir, tags={"held_out": '{"default": {"alarm_rate": 0.001}}'})
    registry.set_alias(CHALLENGER, second)
    found = http.get("/models").json()
    assert [one["version"] for one in found["versions"]] == ["2", "1"]
    assert found["champion"]["version"] == "1"
    group = found["challenger"]["groups"]["default"]
    assert group["held_out"] == {"alarm_rate": 0.001}
    assert group["feature_names"]
    done = http.post("/models/promote", json={"who": "ANNA", "why": "seen on the bench"})
    assert done.json() == {"champion": "2", "previous": "1"}
    service.until(lambda: service_version(http) == "2")
    listed = http.get("/models").json()
    assert listed["champion"]["tags"]["verdict"] == "ANNA: seen on the bench"
    assert listed["challenger"] is None
    again = http.post("/models/promote", json={"version": "2"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "champion_already")
    assert http.post("/models/promote", json={}).status_code == 404
    assert http.post("/models/promote", json={"version": "9"}).status_code == 404
    assert http.post("/models/rollback", json={}).json() == {"champion": "1", "previous": "2"}
    service.until(lambda: service_version(http) == "1")
    assert http.post("/models/rollback", json={}).status_code == 404
    assert http.get("/anomalies/train").json() == {"jobs": []}


def test_a_repeated_roll_back_does_not_go_back_twice(
    client: tuple[Service, httpx.Client], bundle_dir: Path
) -> None:
    service, http = client
    registry = open_registry(None, "anomaly-detection", service.var_dir)
    before = registry.alias(CHAMPION)
    first, second = registry.register(bundle_dir), registry.register(bundle_dir)
    with ThreadPoolExecutor() as pool:  # by two people at once
        wanted = [{"version": version} for version in (first, second)]
        done = [pool.submit(http.post, "/models/promote", json=body) for body in wanted]
    previous = {one.result().json()["champion"]: one.result().json()["previous"] for one in done}
    champion = registry.alias(CHAMPION)
    assert champion is not None
    earlier = ({first, second} - {champion}).pop()
    assert previous == {earlier: before, champion: earlier}
    assert http.post("/models/rollback", json={"champion": champion}).status_code == 200
    again = http.post("/models/rollback", json={"champion": champion})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "champion_moved")
    assert registry.alias(CHAMPION) == earlier


def service_version(http: httpx.Client) -> str:
    return str(http.get("/anomalies/status").json()["bundle_version"])


def test_a_window_is_previewed_without_being_planned(client: tuple[Service, httpx.Client]) -> None:
    _, http = client
    start = datetime(2130, 3, 25, 21, tzinfo=UTC)
    body = {"start": start.isoformat(), "end": (start + timedelta(hours=8)).isoformat(),
            "rrule": "FREQ=DAILY;COUNT=3", "time_zone": "Europe/Berlin"}  # fmt: skip
    spans = http.post("/maintenance-windows/preview", json=body).json()["occurrences"]
    # 22:00 to 07:00 there, also after the night that has 23 hours
    assert [(one["start"][8:16], one["end"][8:16]) for one in spans] == [
        ("25T21:00", "26T05:00"), ("26T20:00", "27T05:00"), ("27T20:00", "28T05:00"),
    ]  # fmt: skip
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    once = {"start": soon.isoformat(), "end": (soon + timedelta(hours=1)).isoformat()}
    [span] = http.post("/maintenance-windows/preview", json=once).json()["occurrences"]
    assert datetime.fromisoformat(span["start"]) == soon
    assert http.get("/maintenance-windows").json() == {"maintenance_windows": []}
