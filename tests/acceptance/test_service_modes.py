"""Runners in processes of their own, two API workers: same scores, real batches, one version."""

from __future__ import annotations

import concurrent.futures
import re
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.fixtures.service import PREFIX, MakeService, Service
from training.simulate import Plant

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def batch(plant: Plant, asset: int, number: int = 20) -> list[dict[str, Any]]:
    return [
        {
            "asset_id": f"A{asset}",
            "features": dict(zip(plant.feature_names, row, strict=True)),
            "timestamp": (T0 + timedelta(minutes=place)).isoformat(),
        }
        for place, row in enumerate(plant.values[asset % 3][:number].tolist())
    ]


def scores(results: list[dict[str, Any]]) -> list[list[float]]:
    return [[r["final_score"], *(s["score"] for s in r["scores"])] for r in results]


def metric(service: Service, name: str) -> list[float]:
    text = httpx.get(service.url + "/metrics", trust_env=False, timeout=60).text
    return [float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)", text, re.MULTILINE)]


def test_runner_services_and_workers_score_like_one_process(
    make_service: MakeService, service: Service, database_url: str, plant: Plant
) -> None:
    other = make_service(database_url, RUNNER_MODE="processes", SERVICE_WORKERS="2")
    version = httpx.get(f"{other.url}{PREFIX}/status", trust_env=False, timeout=60).json()[
        "bundle_version"
    ]
    with service.client() as one, other.client() as two:
        expected = [one.post("/detect/batch", json=batch(plant, a)).json() for a in range(24)]
        # alone, then all at once: whatever the batching, the same scores
        assert scores(two.post("/detect/batch", json=batch(plant, 0)).json()) == [
            pytest.approx(row, abs=1e-6) for row in scores(expected[0])
        ]

        def ask(asset: int) -> tuple[int, list[dict[str, Any]]]:
            with other.client() as client:
                return asset, client.post("/detect/batch", json=batch(plant, asset)).json()

        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            for asset, results in pool.map(ask, list(range(24)) * 3):
                for row, wanted in zip(scores(results), scores(expected[asset]), strict=True):
                    assert row == pytest.approx(wanted, abs=1e-6)
                assert {r["metadata"]["bundle_version"] for r in results} == {version}
    batches_are_seen(other)
    metrics_add_up_over_workers(other)
    bentos_clients_call_the_same_code(other, plant)
    a_killed_runner_costs_no_500(other, plant)
    a_training_runs_once_and_every_worker_takes_it_up(other, plant)


def batches_are_seen(service: Service) -> None:
    for stage in ("scoring", "runner.isolation_forest", "runner.lstm_autoencoder"):
        labels = f'{{stage="{stage}"}}'
        (count,) = metric(service, f"anomaly_batch_size_count{labels}")
        (total,) = metric(service, f"anomaly_batch_size_sum{labels}")
        assert total > count, f"{stage}: batches of more than one"


def metrics_add_up_over_workers(service: Service) -> None:
    counted = 'anomaly_http_requests_total{method="POST",route="/detect/batch",status="200"}'
    assert metric(service, counted) == [73.0]
    assert metric(service, "anomaly_bundle_ready") == [2.0]


def bentos_clients_call_the_same_code(service: Service, plant: Plant) -> None:
    items = batch(plant, 0, 3)
    with service.client() as api:
        expected = api.post("/detect/batch", json=items).json()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BentoML's own, of libraries newer than it
        import bentoml

        with bentoml.SyncHTTPClient(service.url) as client:
            assert scores(client.detect_batch(items)) == scores(expected)
            assert scores([client.detect(items[0])]) == scores(expected[:1])
            client._temp_dir.cleanup()  # it leaves this to the garbage collector, with a warning


def a_killed_runner_costs_no_500(service: Service, plant: Plant) -> None:
    def runners() -> list[Any]:
        return [p for p in service.processes() if "one_class_svm_runner" in p.cmdline()]

    runners()[0].kill()
    seen: list[int] = []
    with service.client() as api:

        def answered() -> bool:
            answer = api.post("/detect", json=batch(plant, 1, 1)[0])
            seen.append(answer.status_code)
            assert answer.status_code in (200, 503), answer.text
            assert answer.status_code == 200 or "retry-after" in answer.headers
            return answer.status_code == 200

        service.until(answered, 60)


def a_training_runs_once_and_every_worker_takes_it_up(service: Service, plant: Plant) -> None:
    body = {
        "data": plant.values[0][:500].tolist(),
        "feature_names": list(plant.feature_names),
        "model_names": ["isolation_forest"],
        "promote": True,
    }
    with service.client() as api:
        answer = api.post("/train", json=body)
    assert answer.status_code == 200, answer.text
    version = answer.json()["isolation_forest"]["model_version"]

    def everywhere() -> bool:
        seen = set()
        for _ in range(12):  # a connection each, so that both workers are met
            with service.client() as api:
                result = api.post("/detect", json=batch(plant, 1, 1)[0]).json()
            seen.add(result["metadata"]["bundle_version"])
        return seen == {version}

    service.until(everywhere)
    job = re.findall(r"training job (\S+) starts", service.log_text())
    assert len(job) == 1
