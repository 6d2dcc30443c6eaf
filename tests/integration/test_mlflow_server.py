"""The registry over HTTP, against `mlflow server` as a user starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from models.files import folder_digest
from models.mlflow_peek import CannotTell, peek
from models.registry import CHAMPION, open_registry
from tests.fixtures.mlflow import new_database
from tests.fixtures.training import TINIEST, run, settings_for, small_plant
from training.pipeline import Request
from training.setting import registry_of

START_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with a database of its own that serves artifacts, too."""
    home = tmp_path_factory.mktemp("server")
    port = free_port()
    log = (home / "server.log").open("wb")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
            "--backend-store-uri", new_database(mlflow_template, home),
            "--artifacts-destination", str(home / "artifacts"), "--workers", "1",
        ],
        stdout=log, stderr=log, cwd=home, start_new_session=True,
        env={
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/health", process, home / "server.log")
        yield url
    finally:
        # at once and with all its workers: its own way of stopping takes half a minute
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"mlflow server did not start: {log.read_text()[-2000:]}")


@pytest.mark.usefixtures("bento_home")
def test_training_and_serving_work_through_a_server(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path / "var", mlflow=True).model_copy(
        update={"mlflow_tracking_uri": server}
    )
    request = Request(small_plant(readings=200), TINIEST, native=False)
    published = run(request, settings).published
    assert published.alias == CHAMPION
    assert capsys.readouterr().out == ""  # standard output is for results
    registry = open_registry(server, "anomaly-detection", tmp_path / "elsewhere")
    version = registry.alias(CHAMPION)
    assert version == published.version
    folder = registry.fetch(version, tmp_path / "elsewhere" / "bundles")
    assert (folder / "bundle.json").is_file()
    looked = peek(server, "anomaly-detection")
    assert looked.alias(CHAMPION) == version
    assert looked.alias("nobody") is None
    assert peek(server, "no-such-model").alias(CHAMPION) is None
    assert looked.digest(version) == folder_digest(folder)
    with pytest.raises(CannotTell):
        looked.digest("99")
    kinds = [one["kind"] for one in registry_of(settings).runs()["runs"]]
    assert sorted(kinds) == ["bundle", "detector", "detector"]
    mlflow.set_tracking_uri(server)
    model = mlflow.pyfunc.load_model("models:/anomaly-detection@champion")
    assert model.predict(model.input_example)["error"].eq("").all()
