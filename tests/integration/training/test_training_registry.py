"""The registry fails, or its champion moves, while a training runs: nothing overwritten or lost."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest

from config import Settings
from errors import AnomalyError, InputError, TrainingError, Unavailable
from models.registry.base import CHALLENGER, CHAMPION
from models.registry.promotion import promote as make_champion
from tests.fixtures.training import TINIEST, run, settings_for, small_plant
from training import pipeline, promote
from training.cli.common import registry_of
from training.pipeline import Outcome
from training.publishing import publish
from training.request import Request

pytestmark = pytest.mark.usefixtures("bento_home")
PLANT = small_plant(readings=160)


def train(settings: Settings, **changes: Any) -> Outcome:
    return run(Request(PLANT, changes.pop("options", TINIEST), native=False, **changes), settings)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path / "var", mlflow=False)


@pytest.fixture
def tracked(tmp_path: Path, make_mlflow: Callable[[Path], str]) -> Settings:
    """Settings with MLflow on."""
    make_mlflow(tmp_path / "var")
    return settings_for(tmp_path / "var", mlflow=True)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """``meanwhile(act, module, step)``: ``act()`` once, just before a step of the training."""

    def arrange(act: Callable[[], Any], module: Any = pipeline, step: str = "run_tasks") -> Any:
        original, calls = getattr(module, step), []

        def acting(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                act()
            return original(*arguments, **options)

        monkeypatch.setattr(module, step, acting)
        return calls

    return arrange


# -- a champion promoted by hand meanwhile ---------------------------------------------------------


@pytest.mark.parametrize("step", ["run_tasks", "compare"])
def test_a_champion_promoted_by_hand_meanwhile_is_compared_with(
    settings: Settings, meanwhile: Any, step: str
) -> None:
    train(settings)
    other = train(settings, promote="false", options=replace(TINIEST, seed=7))
    registry = registry_of(settings)
    module = pipeline if step == "run_tasks" else publish
    meanwhile(lambda: make_champion(registry, "2", "by hand"), module, step)
    third = train(settings, options=replace(TINIEST, seed=8)).published
    assert third.comparison is not None
    assert third.comparison.champion.version == other.trained.bundle.version
    assert "version 2, promoted meanwhile" in third.message
    (about,) = [v for v in registry.versions() if v["version"] == "3"]
    assert about["tags"].get("previous_champion") == "2"


def test_groups_carried_over_from_a_champion_of_before_do_not_replace_its_successors(
    settings: Settings, meanwhile: Any
) -> None:
    train(settings, group_by="asset_id")
    train(settings, group_by="asset_id", promote="false")
    registry = registry_of(settings)
    meanwhile(lambda: make_champion(registry, "2", "by hand"))
    third = train(settings, only=PLANT.streams[0].asset_id).published
    assert third.alias == CHALLENGER
    assert "its other groups are those of the champion before" in third.message
    assert registry.alias(CHAMPION) == "2"


def test_on_request_it_replaces_whoever_is_champion(settings: Settings, meanwhile: Any) -> None:
    train(settings)
    train(settings, promote="false")
    registry = registry_of(settings)
    meanwhile(lambda: make_champion(registry, "2", "by hand"))
    third = train(settings, promote="true").published
    assert "replacing version 2, promoted meanwhile" in third.message
    assert registry.alias(CHAMPION) == "3"


# -- what is wrong with MLflow is reported before the fit ------------------------------------------


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit is a failure."""

    def fitted(*_: Any) -> None:
        raise AssertionError("it was fitted all the same")

    monkeypatch.setattr(pipeline, "run_tasks", fitted)


@pytest.mark.usefixtures("no_fit")
def test_a_deleted_experiment_is_told_before_the_fit(tracked: Settings) -> None:
    client = mlflow.MlflowClient(tracking_uri=tracked.mlflow_uri())
    made = client.create_experiment("anomaly-detection")
    client.delete_experiment(made)
    with pytest.raises(InputError, match=f"restore --experiment-id {made}"):
        train(tracked)


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("place", "message"),
    [("{tmp}/file/artifacts", "file"), ("s3://bucket/artifacts", "boto3"), ("/proc/a", "/proc")],
)
def test_an_artifact_store_that_cannot_be_written_is_told_before_the_fit(
    tracked: Settings, tmp_path: Path, place: str, message: str
) -> None:
    (tmp_path / "file").touch()
    client = mlflow.MlflowClient(tracking_uri=tracked.mlflow_uri())
    client.create_experiment("anomaly-detection", artifact_location=place.format(tmp=tmp_path))
    with pytest.raises(Unavailable, match=message) as caught:
        train(tracked)
    assert "\n" not in caught.value.message


class OldServer(http.server.BaseHTTPRequestHandler):
    """An MLflow server of version 2, as far as it is asked."""

    def do_GET(self) -> None:
        old = self.path.startswith("/version")
        body = b"2.22.0" if old else b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}'
        self.send_response(200 if old else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def old_server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OldServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("no_fit")
def test_a_server_of_mlflow_2_is_told_before_the_fit(tracked: Settings, old_server: str) -> None:
    settings = tracked.model_copy(update={"mlflow_tracking_uri": old_server})
    with pytest.raises(InputError, match=r"version 2\.22\.0"):
        train(settings)


# -- what fails after it costs nothing -------------------------------------------------------------


def test_a_fit_that_fails_leaves_its_run_as_failed(tracked: Settings, meanwhile: Any) -> None:
    def fail() -> None:
        raise TrainingError("as if memory had run out")

    meanwhile(fail)
    with pytest.raises(TrainingError):
        train(tracked)
    client = mlflow.MlflowClient(tracking_uri=tracked.mlflow_uri())
    found = client.get_experiment_by_name("anomaly-detection")
    assert found is not None
    assert [r.info.status for r in client.search_runs([found.experiment_id])] == ["FAILED"]
    assert registry_of(tracked).runs()["runs"] == []


def test_a_bundle_that_cannot_be_registered_is_kept_with_the_command_for_it(
    tracked: Settings,
    meanwhile: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    artifacts = tracked.var_dir / "mlflow" / "artifacts"

    def break_store() -> None:
        artifacts.rename(artifacts.with_name("away"))
        artifacts.touch()

    meanwhile(break_store)
    with pytest.raises(AnomalyError, match=r"training\.promote --register") as caught:
        train(tracked, recipe={"data": "plant.csv"})
    assert "\n" not in caught.value.message
    command = caught.value.message.rsplit("training.promote ", 1)[1].split()
    monkeypatch.setattr("training.cli.common.load_settings", lambda: tracked)
    capsys.readouterr()

    assert promote.main(command) == 1, "the store is still broken: the bundle stays"
    assert Path(command[1]).is_dir()
    artifacts.unlink()
    artifacts.with_name("away").rename(artifacts)
    assert promote.main(command) == 0, capsys.readouterr().err
    assert "registered as version 1, champion" in capsys.readouterr().out
    assert not Path(command[1]).exists()
    assert "Traceback" not in caplog.text
    (version,) = registry_of(tracked).versions()
    assert version["aliases"] == [CHAMPION]
    assert '"data": "plant.csv"' in version["tags"]["recipe"]
    model = mlflow.pyfunc.load_model(f"models:/{tracked.mlflow_experiment_name}@champion")
    assert model.metadata.signature is not None

    assert promote.main(command) == 1
    assert "holds no bundle to register" in capsys.readouterr().err


def test_a_failure_after_registering_says_how_to_go_on(settings: Settings, meanwhile: Any) -> None:
    train(settings)

    def fail() -> None:
        raise OSError("the disk is full")

    meanwhile(fail, publish, "compare")
    with pytest.raises(
        Unavailable, match=r"version 2 is registered.*the disk is full.*--version 2"
    ):
        train(settings)
    assert registry_of(settings).alias(CHAMPION) == "1"
