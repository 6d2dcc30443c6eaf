"""The REST contract of detection, against ``bentoml serve`` and a real PostgreSQL."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from models.detectors.base import MODEL_NAMES
from models.scoring.features.repeats import LENGTH
from tests.fixtures.service import Service
from training.simulate import Plant

T0 = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def reading(plant: Plant) -> dict[str, float]:
    return dict(zip(plant.feature_names, plant.values[0][5].tolist(), strict=True))


def wild(reading: dict[str, float]) -> dict[str, float]:
    """Surely an anomaly."""
    return {name: 50 * value + 1000 for name, value in reading.items()}


def item(features: dict[str, float], **more: Any) -> dict[str, Any]:
    return {"asset_id": f"A-{uuid4()}", "sensor_id": "S", "features": features, **more}


def test_detect_answers_the_whole_result(api: httpx.Client, reading: dict[str, float]) -> None:
    sent = item(reading, timestamp="2026-01-01T00:00:00", metadata={"mine": 1, "group": "g"})
    sent["history"] = [reading] * 12
    result = api.post("/detect", json=sent).json()
    assert result["asset_id"] == sent["asset_id"]
    assert result["sensor_id"] == "S"
    assert result["timestamp"] == "2026-01-01T00:00:00+00:00"
    assert result["features"] == reading
    assert [score["model_name"] for score in result["scores"]] == list(MODEL_NAMES)
    for score in result["scores"]:
        assert 0 <= score["score"] <= 1
        assert score["is_anomaly"] == (score["score"] >= score["threshold"])
    assert result["threshold"] == pytest.approx(0.5)
    assert result["is_anomaly"] == (result["final_score"] >= result["threshold"])
    metadata = result["metadata"]
    assert metadata["mine"] == 1
    assert metadata["caller"] == {"group": "g"}
    assert metadata["group"] == "default"
    assert metadata["asset_criticality"] == "medium"


@pytest.mark.parametrize(
    ("criticality", "threshold"), [("critical", 0.3), ("high", 0.4), ("medium", 0.5), ("low", 0.7)]
)
def test_criticality_moves_the_threshold_never_the_score(
    api: httpx.Client, reading: dict[str, float], criticality: str, threshold: float
) -> None:
    sent = item(reading, timestamp="2026-01-01T00:00:00Z")
    plain = api.post("/detect", json=sent).json()
    result = api.post("/detect", json={**sent, "criticality": criticality}).json()
    assert result["threshold"] == pytest.approx(threshold)
    assert result["final_score"] == plain["final_score"]
    assert result["metadata"]["asset_criticality"] == criticality


def test_no_timestamp_means_now(api: httpx.Client, reading: dict[str, float]) -> None:
    before = datetime.now(UTC)
    result = api.post("/detect", json=item(reading)).json()
    assert before <= datetime.fromisoformat(result["timestamp"]) <= datetime.now(UTC)


def test_an_anomaly_is_stored_and_found_again(api: httpx.Client, reading: dict[str, float]) -> None:
    sent = item(wild(reading), timestamp="2026-01-02T00:00:00Z", metadata={"note": "x"})
    result = api.post("/detect", json=sent).json()
    assert result["is_anomaly"] is True
    assert result["metadata"]["stored"] is True
    found = api.get(f"/{result['metadata']['detection_id']}").json()
    assert found["asset_id"] == sent["asset_id"]
    assert found["metadata"]["note"] == "x"
    page = api.get("/", params={"asset_id": sent["asset_id"]}).json()
    assert page["total"] == 1
    assert page["anomalies"][0]["id"] == found["id"]


def test_what_is_normal_is_not_stored(api: httpx.Client, reading: dict[str, float]) -> None:
    sent = item(reading)
    result = api.post("/detect", json={**sent, "criticality": "low"}).json()
    assert result["is_anomaly"] is False
    assert result["metadata"]["stored"] is False
    assert "detection_id" not in result["metadata"]
    page = api.get("", params={"asset_id": sent["asset_id"], "is_anomaly": "any"}).json()
    assert page["total"] == 0


def test_a_batch_keeps_order_and_one_bad_item_costs_only_itself(
    api: httpx.Client, reading: dict[str, float]
) -> None:
    good = [item(reading) for _ in range(3)]
    missing = item({"rms": 1.0})
    answers = api.post(
        "/detect/batch/", json=[good[0], {**good[1], "features": None}, missing, 7, good[2]]
    ).json()
    assert len(answers) == 5
    assert answers[0]["asset_id"] == good[0]["asset_id"]
    assert answers[1]["error"]["field"] == "[1].features"
    assert answers[2]["error"]["code"] == "missing_features"
    assert answers[3]["error"]["code"] == "not_an_object"
    assert answers[4]["asset_id"] == good[2]["asset_id"]
    assert api.post("/detect/batch", json=[]).json() == []


def test_readings_of_one_stream_form_their_history_in_time_order(
    api: httpx.Client, plant: Plant
) -> None:
    asset = f"A-{uuid4()}"
    items = [
        {
            "asset_id": asset,
            "features": dict(zip(plant.feature_names, row, strict=True)),
            "timestamp": (T0 + timedelta(minutes=place)).isoformat(),
        }
        for place, row in enumerate(plant.values[0][:25].tolist())
    ]
    forward = api.post("/detect/batch", json=items).json()
    backward = api.post("/detect/batch", json=items[::-1]).json()[::-1]
    assert [len(r["scores"]) for r in forward] == [2] * 9 + [3] * 16
    assert [r["final_score"] for r in forward] == [r["final_score"] for r in backward]
    own = {**items[20], "history": [i["features"] for i in items[11:20]]}
    (alone,) = api.post("/detect/batch", json=[own]).json()
    # the same window; but the batch's stream has adapted by twenty readings meanwhile
    assert alone["scores"][2]["model_name"] == "lstm_autoencoder"
    assert alone["scores"][2]["score"] == pytest.approx(forward[20]["scores"][2]["score"], abs=0.01)


def test_items_without_a_time_are_in_order(api: httpx.Client, reading: dict[str, float]) -> None:
    sent = item(reading)
    times = [r["timestamp"] for r in api.post("/detect/batch", json=[sent] * 3).json()]
    assert times == sorted(set(times))


def test_detect_streams_is_pure_and_carries_state(api: httpx.Client, plant: Plant) -> None:
    rows = [
        [(T0 + timedelta(minutes=place)).isoformat(), *row]
        for place, row in enumerate(plant.values[0][:30].tolist())
    ]
    names = list(plant.feature_names)
    stream = {"asset_id": "A", "sensor_id": "S", "feature": None, "criticality": "medium"}

    def call(readings: list[Any], state: Any, window: list[Any]) -> dict[str, Any]:
        body = {
            **stream,
            "state": state,
            "window": {"names": names, "rows": window},
            "readings": {"names": names, "rows": readings},
        }
        answer = api.post("/detect/streams", json={"echo": False, "streams": [body]})
        assert answer.status_code == 200, answer.text
        return answer.json()

    whole = call(rows, None, [])["streams"][0]
    first = call(rows[:13], None, [])["streams"][0]
    assert first["window_length"] == LENGTH - 1
    second = call(rows[13:], first["state"], rows[:13])["streams"][0]
    cut = first["results"] + second["results"]
    for one, other in zip(whole["results"], cut, strict=True):
        assert one["final_score"] == pytest.approx(other["final_score"], abs=1e-6)
        assert one["metadata"]["window"] == "added"
        assert not {"asset_id", "sensor_id", "timestamp", "features"} & set(one)


def test_states_of_many_unknown_bundles_are_settled_together(
    api: httpx.Client, reading: dict[str, float]
) -> None:
    first, *later = [
        {"timestamp": (T0 + timedelta(minutes=m)).isoformat(), "features": reading}
        for m in range(2)
    ]
    body = {"streams": [{"asset_id": "A", "readings": [first]}]}
    state = api.post("/detect/streams", json=body).json()["streams"][0]["state"]
    odd: list[Any] = [None, 7, [], {}, ["1"]]  # a damaged state names what is no version
    bundles = odd + [f"of {n}" for n in range(200 - len(odd))]
    streams = [
        {"asset_id": f"A{n}", "state": {**state, "bundle": bundles[n]}, "readings": later}
        for n in range(200)
    ]
    began = time.perf_counter()
    answer = api.post("/detect/streams", json={"streams": streams})
    assert answer.status_code == 200, answer.text
    assert time.perf_counter() - began < 9  # one by one they took 0.05 s each, 10 s
    assert all(s["results"][0]["metadata"]["window"] == "added" for s in answer.json()["streams"])


def test_a_state_out_of_range_is_an_error_of_its_stream_or_a_new_beginning(
    api: httpx.Client, reading: dict[str, float]
) -> None:
    def rows(start: int, count: int) -> list[dict[str, Any]]:
        times = (T0 + timedelta(minutes=start + m) for m in range(count))
        return [{"timestamp": time.isoformat(), "features": reading} for time in times]

    body: dict[str, Any] = {"streams": [{"asset_id": "A", "readings": rows(0, 2)}]}
    state = api.post("/detect/streams", json=body).json()["streams"][0]["state"]
    tail = [state["tail"][0], 1000.0, *state["tail"][2:]]
    streams = [
        {"asset_id": "A", "state": {**state, "tail": tail}, "readings": rows(2, 2)},
        {"asset_id": "B", "state": state, "readings": rows(2, 2)},
    ]
    answer = api.post("/detect/streams", json={"streams": streams})
    assert answer.status_code == 200
    bad, good = answer.json()["streams"]
    assert [one["error"]["code"] for one in bad["results"]] == ["bad_state"] * 2
    assert "log_stretch 1000.0 lies outside" in bad["results"][0]["error"]["message"]
    assert all("final_score" in one for one in good["results"])
    answer = api.post("/detect/streams", json={"renew": True, "streams": streams})
    found = [
        [r["metadata"].get("restarted") for r in s["results"]] for s in answer.json()["streams"]
    ]
    assert found == [["bad_state", None], [None, None]]
    for name, wrong in (("renew", "yes"), ("now", "then"), ("echo", 1)):
        refused = api.post("/detect/streams", json={"streams": [], name: wrong})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, name)
    streams[0]["arrived"] = [T0.isoformat()]
    refused = api.post("/detect/streams", json={"streams": streams})
    assert refused.json()["error"]["field"] == "streams[0].arrived"


def test_a_time_that_lies_ahead_is_refused_and_stored_nowhere(
    api: httpx.Client, reading: dict[str, float]
) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)
    sent = item(wild(reading), timestamp=ahead.isoformat())
    refused = api.post("/detect", json=sent)
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "future_timestamp"
    assert refused.json()["error"]["field"] == "timestamp"
    bad, good = api.post("/detect/batch", json=[sent, item(reading)]).json()
    assert bad["error"]["field"] == "[0].timestamp"
    assert good["metadata"]["window"] == "added"
    page = api.get("", params={"asset_id": sent["asset_id"], "is_anomaly": "any"}).json()
    assert page["total"] == 0


def test_one_bad_reading_of_a_stream_leaves_the_others(
    api: httpx.Client, reading: dict[str, float]
) -> None:
    readings = [
        {"timestamp": "2026-01-01T00:00:00Z", "features": reading},
        {"timestamp": "never", "features": reading},
        {"timestamp": "2026-01-01T00:01:00Z", "features": reading},
    ]
    body = {"streams": [{"asset_id": "A", "readings": readings}]}
    results = api.post("/detect/streams", json=body).json()["streams"][0]["results"]
    assert results[1]["error"]["code"] == "bad_timestamp"
    assert results[1]["metadata"]["window"] == "left_out"
    assert results[2]["metadata"]["window"] == "added"
    assert api.post("/detect/streams", json={"streams": []}).json()["streams"] == []


def test_the_batch_sizes_are_counted_and_no_id_becomes_a_label(
    service: Service, api: httpx.Client, reading: dict[str, float]
) -> None:
    unknown = uuid4()
    api.get(f"/{unknown}")
    api.post("/detect", json=item(reading))
    text = httpx.get(service.url + "/metrics", trust_env=False, timeout=60).text
    assert re.search(r'anomaly_batch_size_count\{stage="scoring"\} [1-9]', text)
    assert 'anomaly_http_requests_total{method="GET",route="/{id}",status="404"}' in text
    assert str(unknown) not in text
