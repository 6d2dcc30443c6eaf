"""What is stored takes part in scoring; a database that is down takes nothing away but that."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, make_url, text

from db.queries.copy import insert_detections
from db.queries.detections import detection_row
from db.queries.stream_states import StoredState, save_states
from db.session import transaction
from schemas import stream_key
from tests.fixtures.postgres import run_admin
from tests.fixtures.service import MakeService, Service
from training.simulate import Plant

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def rows(plant: Plant, start: int, end: int) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": (T0 + timedelta(minutes=place)).isoformat(),
            "features": dict(zip(plant.feature_names, row, strict=True)),
        }
        for place, row in enumerate(plant.values[0][start:end].tolist(), start)
    ]


def store(engine: Engine, api: httpx.Client, asset: str, readings: list[dict[str, Any]]) -> Any:
    """Do what the bridge does with one batch of a stream; the state it ended with."""
    body = {"streams": [{"asset_id": asset, "sensor_id": "S", "readings": readings}]}
    (stream,) = api.post("/detect/streams", json=body).json()["streams"]
    topic = uuid4()
    with transaction(engine) as connection:
        insert_detections(
            connection,
            [
                detection_row(result, topic_id=topic, partition=0, offset=offset)
                for offset, result in enumerate(stream["results"])
            ],
        )
        last = datetime.fromisoformat(readings[-1]["timestamp"])
        key = stream_key(asset, "S")
        state = StoredState(
            key, topic, 0, stream["state"], last, stream["window_length"], stream["state"]["bundle"]
        )
        save_states(connection, [state])
    return stream["state"]


def test_stored_history_and_an_outage(
    make_service: MakeService, database_url: str, engine: Engine, postgres_server: str, plant: Plant
) -> None:
    service = make_service(database_url, DATABASE_STATEMENT_TIMEOUT_S="1")
    with service.client() as api:
        service.until(lambda: api.get("/status").json()["database"]["available"])
        state = store(engine, api, "A", rows(plant, 0, 20))
        whole = api.post("/detect/batch", json=items("B", rows(plant, 0, 21))).json()
        known = api.post("/detect", json=items("A", rows(plant, 20, 21))[0]).json()
        # the LSTM takes part, and the score is the one the whole history gives
        assert [s["score"] for s in known["scores"]] == pytest.approx(
            [s["score"] for s in whole[20]["scores"]], abs=1e-6
        )
        assert known["final_score"] == pytest.approx(whole[20]["final_score"], abs=1e-6)
        unknown = api.post("/detect", json=items("C", rows(plant, 20, 21))[0]).json()
        assert len(unknown["scores"]) == 2
        with transaction(engine) as connection:
            kept = connection.execute(text("SELECT state FROM stream_states")).scalar_one()
        assert kept == state  # reading it changed nothing
        with transaction(engine) as connection:
            connection.execute(text("INSERT INTO assets VALUES ('D', 'critical')"))
        critical = api.post("/detect", json=items("D", rows(plant, 20, 21))[0]).json()
        assert critical["metadata"]["asset_criticality"] == "critical"
        assert critical["threshold"] == pytest.approx(0.3)
        asked = {**items("D", rows(plant, 20, 21))[0], "criticality": "low"}
        assert api.post("/detect", json=asked).json()["threshold"] == pytest.approx(0.7)
        assert known["metadata"]["asset_criticality"] == "medium"
        own_history_scores_the_same_in_any_company(api, plant)
        a_slow_query_costs_only_itself(api, engine, plant)
        an_outage_costs_no_answer(service, api, postgres_server, database_url, plant)


def items(asset: str, readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"asset_id": asset, "sensor_id": "S", **reading} for reading in readings]


def own_history_scores_the_same_in_any_company(api: httpx.Client, plant: Plant) -> None:
    """Also beside a sibling whose look-up finds what is stored of their stream."""
    sibling, last = items("A", rows(plant, 20, 22))
    past = [reading["features"] for reading in rows(plant, 5, 20)]
    own = {**last, "history": past, "criticality": "medium"}
    alone = api.post("/detect", json=own).json()
    first, second = api.post("/detect/batch", json=[sibling, own]).json()
    assert second["final_score"] == alone["final_score"]
    assert second["scores"] == alone["scores"]
    assert second["metadata"] == alone["metadata"]
    unknown = api.post("/detect", json={**own, "asset_id": "NEVER-SEEN"}).json()
    assert unknown["final_score"] == alone["final_score"]
    assert len(first["scores"]) == 3  # its window was looked up


def a_slow_query_costs_only_itself(api: httpx.Client, engine: Engine, plant: Plant) -> None:
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE anomaly_detections IN ACCESS EXCLUSIVE MODE"))
        refused = api.get("/")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "storage_timeout"
        assert "DATABASE_STATEMENT_TIMEOUT_S" in refused.json()["error"]["message"]
        assert api.get("/status").json()["database"]["available"] is True
        answer = api.post("/detect", json=items("E", rows(plant, 20, 21))[0]).json()
        assert "degraded" not in answer["metadata"]
    assert api.get("/").status_code == 200


def an_outage_costs_no_answer(
    service: Service, api: httpx.Client, server: str, url: str, plant: Plant
) -> None:
    name = make_url(url).database
    run_admin(
        server,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    item = items("A", rows(plant, 20, 21))[0]
    wild = {**item, "features": dict.fromkeys(item["features"], 1000000.0)}
    assert api.post("/detect", json=item).json()["metadata"]["degraded"] is True  # notices it
    began = time.perf_counter()
    for _ in range(20):
        result = api.post("/detect", json=item).json()
        assert result["metadata"]["degraded"] is True
    assert time.perf_counter() - began < 15  # no time-out of a second or more for each
    stored = api.post("/detect", json=wild).json()
    assert stored["is_anomaly"] is True
    assert stored["metadata"]["stored"] is False
    assert "detection_id" not in stored["metadata"]
    refused = api.get("/")
    assert refused.status_code == 503
    assert "retry-after" in refused.headers
    assert httpx.get(service.url + "/readyz", trust_env=False, timeout=60).status_code == 200
    run_admin(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    service.until(lambda: api.get("/status").json()["database"]["available"])
    again = api.post("/detect", json=item).json()
    assert "degraded" not in again["metadata"]
    assert len(again["scores"]) == 3
