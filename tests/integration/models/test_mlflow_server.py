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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import mlflow
import pytest

from errors import Unavailable
from models.registry.base import CHAMPION, open_registry
from tests.fixtures.mlflow import new_database
from tests.fixtures.training import TINIEST, run, settings_for, small_plant
from training import pipeline, promote
from training.cli.common import registry_of
from training.fitting import parallel_fit
from training.request import Request

START_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(home: Path, database: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that serves artifacts, too."""
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                "--port", str(port), "--backend-store-uri", database,
                "--artifacts-destination", str(home / "artifacts"), "--workers", "1",
            ],
            stdout=log, stderr=log, cwd=home, start_new_session=True,
            env={
                **os.environ,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
        )  # fmt: skip
        try:
            wait_for(f"http://127.0.0.1:{port}/health", process, home / "server.log")
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """At once and with all its workers: its own way of stopping takes half a minute."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def server(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with a database of its own."""
    home, port = tmp_path_factory.mktemp("server"), free_port()
    with running(home, new_database(mlflow_template, home), port):
        yield f"http://127.0.0.1:{port}"


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
    kinds = [one["kind"] for one in registry_of(settings).runs()["runs"]]
    assert sorted(kinds) == ["bundle", "detector", "detector"]
    mlflow.set_tracking_uri(server)
    model = mlflow.pyfunc.load_model("models:/anomaly-detection@champion")
    assert model.predict(model.input_example)["error"].eq("").all()


@pytest.mark.usefixtures("bento_home")
def test_a_server_that_goes_during_the_fit_costs_no_bundle(
    mlflow_template: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port, database = free_port(), new_database(mlflow_template, tmp_path)
    settings = settings_for(tmp_path / "var", mlflow=True).model_copy(
        update={"mlflow_tracking_uri": f"http://me:secret@127.0.0.1:{port}"}
    )
    monkeypatch.setattr("training.cli.common.load_settings", lambda: settings)
    with running(tmp_path, database, port) as process:
        fitted = parallel_fit.run_tasks

        def fit_and_lose_it(*arguments: Any) -> Iterator[Any]:
            yield from fitted(*arguments)
            kill(process)

        monkeypatch.setattr(pipeline, "run_tasks", fit_and_lose_it)
        with pytest.raises(Unavailable, match=r"training\.promote --register") as caught:
            run(Request(small_plant(readings=160), TINIEST, native=False), settings)
    assert "secret" not in caught.value.message
    command = caught.value.message.rsplit("training.promote ", 1)[1].split()
    assert promote.main(command) == 1
    with running(tmp_path, database, port):
        assert promote.main(command) == 0, capsys.readouterr().err
        assert registry_of(settings).alias(CHAMPION) == "1"
