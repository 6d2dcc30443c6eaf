"""What a freshly built image is asked."""

from __future__ import annotations

import json

import pytest

from deploy.image import ask
from tests.fixtures.answering import Answering

STATUS = {"models": {"lstm_autoencoder": {"feature_names": ["rms", "temp"]}}}


@pytest.fixture
def service(answering: Answering) -> Answering:
    answering.answers |= {
        "/health": (200, {"version": "1.2"}), "/readyz": (200, {}),
        f"{ask.API}/status": (200, STATUS), f"{ask.API}/detect": (200, {"is_anomaly": False}),
    }  # fmt: skip
    return answering


def test_call_gives_status_and_json_of_errors_too(answering: Answering) -> None:
    answering.answers["/ok"] = (200, {"fine": True})
    assert ask.call(f"{answering.url}/ok") == (200, {"fine": True})
    assert ask.call(f"{answering.url}/busy", {"a": 1}) == (503, {"error": "not ready"})
    assert answering.asked[-1][2] == b'{"a": 1}'


def test_waiting_ends_with_an_error_that_names_the_address(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "PATIENCE_S", 0)
    answering.answers["/busy"] = (202, {})
    with pytest.raises(TimeoutError, match="/busy"):
        ask.wait(f"{answering.url}/busy")
    with pytest.raises(TimeoutError, match=r"/readyz did not answer 200"):
        ask.wait(f"{answering.url}/readyz")


def test_with_a_bundle_a_reading_of_the_models_features_must_be_scored(
    service: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask.main(service.url, "bundle:1") == 0
    assert json.loads(service.asked[-1][2])["features"] == {"rms": 1.0, "temp": 1.0}
    assert "version 1.2" in capsys.readouterr().out
    service.answers[f"{ask.API}/detect"] = (503, {})
    assert ask.main(service.url, "bundle:1") == 1


def test_without_a_bundle_the_reading_must_be_refused(
    service: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    service.answers |= {f"{ask.API}/status": (200, {"models": {"isolation_forest": {}}})}
    service.answers.pop("/readyz")  # is not asked: it would never be ready
    assert ask.main(service.url, "") == 1
    service.answers[f"{ask.API}/detect"] = (503, {})
    assert ask.main(service.url, "") == 0
    assert "no bundle was packed" in capsys.readouterr().out
