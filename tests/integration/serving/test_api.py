"""The rest of the REST contract: health, status, refusals, documents; as in test_detect."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from models.bundles.bundle import Bundle
from tests.fixtures.service import PREFIX, Service

MODELS = ["isolation_forest", "one_class_svm", "lstm_autoencoder"]


def refusal(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message", "field"}
    return error


def test_health_at_both_places_with_and_without_a_slash(service: Service) -> None:
    for path in ("/health", "/health/", f"{PREFIX}/health", f"{PREFIX}/health/"):
        answer = httpx.get(service.url + path, trust_env=False, timeout=60)
        assert answer.status_code == 200
        assert answer.json()["status"] == "healthy"
        assert set(answer.json()) == {"status", "service", "version"}


def test_bentos_own_pages_keep_working(service: Service) -> None:
    for path in ("/docs.json", "/livez", "/readyz", "/metrics", "/schema.json"):
        assert httpx.get(service.url + path, trust_env=False, timeout=60).status_code == 200, path


def test_the_documentation_loads_nothing_from_elsewhere(api: httpx.Client) -> None:
    """BentoML's own, which it stands for, reports to Google who looks at it."""
    page = api.get("/docs").text
    assert "swagger" in page
    assert "://" not in page


def test_status_lists_all_three_models(api: httpx.Client, bundle: Bundle) -> None:
    status = api.get("/status").json()
    assert status["ready"] is True
    assert list(status["models"]) == MODELS
    for entry in status["models"].values():
        assert entry["is_trained"] is True
        assert entry["version"] == status["bundle_version"]
        assert entry["feature_names"] == list(bundle.model_set("default").feature_names)
        assert entry["n_features"] == len(entry["feature_names"])
        datetime.fromisoformat(entry["trained_at"])


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("/detect", b"{", 400, "bad_json"),
        ("/detect", b"\xff\xfe", 400, "bad_json"),
        ("/detect", b"", 400, "bad_json"),
        ("/detect", b'{"asset_id": "A", "features": {"a": NaN}}', 400, "bad_json"),
        ("/detect", b"[" * 100_000, 400, "bad_json"),
        ("/detect", b"[]", 422, "not_an_object"),
        ("/detect", b'{"asset_id": "A", "features": {"a": 1}}', 422, "missing_features"),
        ("/detect/batch", b"{}", 422, "not_a_list"),
        ("/detect/batch", b"[" + b"1," * 5000 + b"1]", 413, "too_many_items"),
        ("/detect/streams", b"[]", 422, "invalid_input"),
        ("/train", b"{}", 422, "invalid_input"),
        ("/train", b'{"dataset": "../etc/passwd"}', 422, "invalid_input"),
        ("/train", b'{"dataset": "none.csv"}', 404, "not_found"),
    ],
)
def test_bad_bodies_are_refused_with_a_stable_code(
    api: httpx.Client, path: str, content: bytes, status: int, code: str
) -> None:
    error = refusal(api.post(path, content=content), status)
    assert error["code"] == code


def test_a_body_too_large_is_413_declared_or_not(api: httpx.Client) -> None:
    large = b" " * (33 * 2**20)
    assert refusal(api.post("/detect", content=large), 413)["code"] == "body_too_large"
    chunks = (large[: 2**20] for _ in range(40))
    assert refusal(api.post("/detect", content=chunks), 413)["code"] == "body_too_large"


def test_unknown_paths_and_methods_are_json(api: httpx.Client) -> None:
    refusal(api.get("/no/such/path"), 404)
    refusal(api.get("/not-a-uuid"), 404)
    refusal(api.get(f"/{uuid4()}"), 404)
    refusal(api.get(f"/train/{uuid4()}"), 404)
    answer = api.delete("/detect")
    assert refusal(answer, 405)["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "POST"
    refusal(api.get("/", params={"limit": "0"}), 422)
    refusal(api.get("/", params={"nonsense": "1"}), 422)


def test_runs_say_that_mlflow_is_off(api: httpx.Client) -> None:
    runs = api.get("/metrics").json()
    assert runs["enabled"] is False
    assert "MLFLOW_ENABLED" in runs["message"]


def test_the_openapi_document_shows_every_call_with_examples(api: httpx.Client) -> None:
    document = api.get("/openapi.json").json()
    calls = {
        (path.removeprefix(PREFIX), method)
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert {("/detect", "post"), ("/train/{job}", "get"), ("", "get"), ("/{id}", "get")} <= calls
    for methods in document["paths"].values():
        for call in methods.values():
            for answer in call["responses"].values():
                assert answer["content"]["application/json"]["example"]
    assert "swagger" in api.get("/docs").text
