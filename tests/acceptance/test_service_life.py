"""One service from its first start without a bundle to its end, as an operator would see it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sys
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Engine

from db.queries.training_jobs import get_job
from db.session import transaction
from models.registry.base import CHAMPION, open_registry
from tests.fixtures.service import PREFIX, MakeService, Service

KEYS = {"read": "r-key", "detect": "d-key", "train": "t-key"}
API_KEYS = ",".join(f"{role}:{hashlib.sha256(k.encode()).hexdigest()}" for role, k in KEYS.items())
NAMES = ["rms", "kurtosis", "temperature"]
ITEM = {"asset_id": "A", "sensor_id": "S", "features": dict.fromkeys(NAMES, 0.1)}


def call(service: Service, method: str, path: str, role: str | None, **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEYS[role]}"} if role else {}
    url = service.url + PREFIX + path
    return httpx.request(method, url, headers=headers, timeout=90, trust_env=False, **more)


def status(service: Service) -> dict[str, Any]:
    answer: dict[str, Any] = call(service, "GET", "/status", "read").json()
    return answer


def test_a_service_from_nothing_to_its_end(
    make_service: MakeService, database_url: str, engine: Engine, bundle_dir: Path, tmp_path: Path
) -> None:
    service = make_service(
        database_url,
        bundle=False,
        API_KEYS=API_KEYS,
        CHAMPION_POLL_S="0.3",
        SERVICE_HOST="0.0.0.0",
    )
    without_a_bundle_it_says_what_to_run(service)
    keys_open_what_their_roles_allow(service)
    a_first_training_becomes_champion(service)
    another_champion_takes_over_and_a_broken_one_does_not(service, bundle_dir, tmp_path)
    it_finishes_what_is_in_flight(service, engine)


def without_a_bundle_it_says_what_to_run(service: Service) -> None:
    assert httpx.get(service.url + "/readyz", trust_env=False, timeout=60).status_code == 503
    assert httpx.get(service.url + "/health", trust_env=False, timeout=60).status_code == 200
    shown = status(service)
    assert shown["ready"] is False
    assert [m["is_trained"] for m in shown["models"].values()] == [False] * 3
    refused = call(service, "POST", "/detect", "detect", json=ITEM)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "no_model"
    assert "python -m training.fit" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) >= 1


def keys_open_what_their_roles_allow(service: Service) -> None:
    assert call(service, "GET", "/status", None).status_code == 401
    assert call(service, "POST", "/detect", "read", json=ITEM).status_code == 403
    assert call(service, "POST", "/train", "detect", json={}).status_code == 403
    assert call(service, "GET", "/health", None).status_code == 200
    wrong = {"x-api-key": "wrong"}
    url = f"{service.url}{PREFIX}/status"
    assert httpx.get(url, headers=wrong, trust_env=False, timeout=60).status_code == 401
    bento = httpx.post(f"{service.url}/detect", json=ITEM, trust_env=False, timeout=60)
    assert bento.status_code == 401
    assert "without API keys" not in service.log_text()


def a_first_training_becomes_champion(service: Service) -> None:
    service.until(lambda: status(service)["database"]["available"])
    trained = call(service, "POST", "/train", "train", json=training(1200))
    assert trained.status_code == 200, trained.text
    assert list(trained.json()) == ["isolation_forest"]
    entry = trained.json()["isolation_forest"]
    assert entry["status"] == "success", entry
    service.wait("/readyz")
    result = call(service, "POST", "/detect", "detect", json=ITEM).json()
    assert [score["model_name"] for score in result["scores"]] == ["isolation_forest"]
    assert result["metadata"]["bundle_version"] == entry["model_version"]


def training(readings: int) -> dict[str, Any]:
    values = np.random.default_rng(0).normal(size=(readings, 3)).round(4).tolist()
    return {"data": values, "feature_names": NAMES, "model_names": ["isolation_forest"]}


def another_champion_takes_over_and_a_broken_one_does_not(
    service: Service, bundle_dir: Path, tmp_path: Path
) -> None:
    before = status(service)["bundle_version"]
    version = service.promote(bundle_dir)
    service.until(lambda: status(service)["bundle_version"] == version)
    assert version != before
    broken = tmp_path / "broken"
    shutil.copytree(bundle_dir, broken)
    (broken / "bundle.json").write_text(json.dumps({"format": 99}))
    service.promote(broken)
    service.until(lambda: status(service)["problem"] is not None)
    assert "99" in status(service)["problem"]
    assert status(service)["bundle_version"] == version
    assert status(service)["ready"] is True
    open_registry(None, "anomaly-detection", service.var_dir).set_alias(CHAMPION, version)
    service.until(lambda: status(service)["problem"] is None)


def is_training(service: Service) -> bool:
    for process in service.processes():
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            if "training.fit" in process.cmdline():
                return True
    return False


def in_hand(service: Service) -> float:
    text = httpx.get(service.url + "/metrics", trust_env=False, timeout=60).text
    found = re.search(r"^anomaly_requests_in_hand (\S+)", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def it_finishes_what_is_in_flight(service: Service, engine: Engine) -> None:
    names = status(service)["models"]["isolation_forest"]["feature_names"]
    items = [
        {"asset_id": f"A{i % 40}", "features": dict.fromkeys(names, float(i % 7))}
        for i in range(4000)
    ]
    answers: list[int] = []
    trained: list[httpx.Response] = []

    def work() -> None:
        answers.append(call(service, "POST", "/detect/batch", "detect", json=items).status_code)

    def train() -> None:
        trained.append(call(service, "POST", "/train", "train", json=training(40_000)))

    waiting = threading.Thread(target=train)
    waiting.start()
    service.until(lambda: is_training(service))
    before = in_hand(service)
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    # all have arrived; one that is answered already counts too
    service.until(lambda: in_hand(service) - before + len(answers) >= len(workers))
    service.stop()
    for worker in [waiting, *workers]:
        worker.join(30)
    # whoever waits for a training learns which job it is; the job ends with the service
    assert trained[0].status_code == 202, trained[0].text
    assert UUID(trained[0].json()["job"])
    with transaction(engine) as connection:
        job = get_job(connection, UUID(trained[0].json()["job"]))
    assert job is not None
    assert job.state == "failed"
    assert "stopped" in (job.error or {})["message"]
    assert answers.count(200) + answers.count(429) == len(answers)
    assert 200 in answers


def test_a_public_address_without_keys_is_warned_about_once(
    make_service: MakeService, database_url: str
) -> None:
    service = make_service(database_url, bundle=False, SERVICE_HOST="0.0.0.0", SERVICE_WORKERS="2")
    service.until(lambda: "without API keys" in service.log_text())
    assert service.log_text().count("without API keys") == 1


def test_the_log_names_the_store_and_how_a_training_ended(
    make_service: MakeService, database_url: str
) -> None:
    service = make_service(database_url, bundle=False, LOG_JSON="true")
    service.until(lambda: "store: " in service.log_text())
    service.until(lambda: status(service)["database"]["available"])
    refused = call(service, "POST", "/train", None, json=training(5)).json()["isolation_forest"]
    assert refused["status"] == "error"
    service.until(lambda: f"failed: {refused['message']}" in service.log_text())
    lines = [json.loads(line) for line in service.log_text().splitlines()]
    assert [line["logger"] for line in lines if "store: " in line["message"]] == ["db.session"]
    assert "@" not in service.log_text()  # no URL with its password


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
@pytest.mark.parametrize("mode", ["inprocess", "processes"])
def test_workers_end_with_the_killed_process_that_started_them(
    make_service: MakeService, database_url: str, mode: str
) -> None:
    service = make_service(database_url, bundle=False, RUNNER_MODE=mode)
    first, *others = service.processes()
    assert others
    first.kill()
    _, left = psutil.wait_procs([first, *others], timeout=30)
    assert left == []
    service.kill()  # what was killed is taken note of
    service.start(ready=False)  # the port is free


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"API_KEYS": "read:nonsense"}, "API_KEYS"),
        ({"RUNNER_MODE": "threads"}, "RUNNER_MODE"),
        ({"RUNNER_URLS": "svm=http://x"}, "RUNNER_URLS"),
    ],
)
def test_a_wrong_setting_ends_the_start_and_is_named(
    make_service: MakeService, settings: dict[str, str], named: str
) -> None:
    service = make_service(
        "postgresql://nobody@127.0.0.1:1/x", start=False, bundle=False, **settings
    )
    with pytest.raises(RuntimeError, match=named):
        service.start()
    assert "Traceback" not in service.log_text()
