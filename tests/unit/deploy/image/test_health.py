"""The container's health check."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from deploy.image import health
from tests.fixtures.answering import Answering


def test_healthy_only_when_answered_without_error(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    answering.answers["/health"] = (200, {})
    assert health.healthy(f"{answering.url}/health")
    assert not health.healthy(f"{answering.url}/busy")
    assert "503" in capsys.readouterr().err


def test_unreachable_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert not health.healthy("http://127.0.0.1:1/health")
    assert "127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
def test_asks_its_own_service_past_any_proxy_and_exits_accordingly(
    answering: Answering, status: int, code: int
) -> None:
    answering.answers["/health"] = (status, {})
    env = {
        **os.environ, "SERVICE_PORT": answering.url.rsplit(":", 1)[1],
        "http_proxy": "http://127.0.0.1:1", "no_proxy": "",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-I", health.__file__], env=env, capture_output=True)
    assert done.returncode == code
    assert [path for path, *_ in answering.asked] == ["/health"]
