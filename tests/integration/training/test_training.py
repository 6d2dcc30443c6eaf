"""A training end to end: MLflow's runs and pictures, the registered model, its flavours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from errors import InputError, TrainingError
from models.bundles.bundle import Bundle
from models.registry.base import CHAMPION
from models.registry.bento_store import MODEL_NAME, stored
from tests.fixtures.training import (
    TINIEST,
    TINY,
    TrainedOnce,
    run,
    settings_for,
    small_plant,
    use_bento_home,
)
from training.cli.common import registry_of
from training.data.sources import TrainingData
from training.publishing.mlflow_flavors import scaled_rows
from training.publishing.mlflow_tracking import NATIVE_TAG
from training.request import Request


@pytest.fixture(scope="module")
def client(trained_once: TrainedOnce) -> mlflow.MlflowClient:
    uri = trained_once.settings.mlflow_uri()
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.fixture(scope="module")
def children(trained_once: TrainedOnce, client: mlflow.MlflowClient) -> dict[str, Any]:
    parent = trained_once.outcome.published.run_id
    experiment = client.get_experiment_by_name("anomaly-detection").experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return {run.data.tags["anomaly.model"]: run for run in found}


def files(client: mlflow.MlflowClient, run_id: str, folder: str = "") -> set[str]:
    return {Path(item.path).name for item in client.list_artifacts(run_id, folder)}


def test_the_first_bundle_is_champion(trained_once: TrainedOnce) -> None:
    registry = registry_of(trained_once.settings)
    assert registry.alias(CHAMPION) == trained_once.outcome.published.version == "1"
    assert trained_once.outcome.published.alias == CHAMPION


def test_the_parent_run_has_data_and_pictures(
    trained_once: TrainedOnce, client: mlflow.MlflowClient
) -> None:
    run_id = trained_once.outcome.published.run_id
    assert run_id is not None
    kept = client.get_run(run_id).data
    assert kept.params["data.sha256"] == trained_once.data.fingerprint()["sha256"]
    assert kept.params["seed"] == "0"
    assert {"alarm_rate", "roc_auc", "false_events_per_month.medium"} <= set(kept.metrics)
    assert files(client, run_id, "pictures") == {
        "score_distributions.png", "reliability.png", "timeline.png", "roc_pr.png",
        "loss_curves.png",
    }  # fmt: skip
    assert {"fingerprint.json", "feature_statistics.csv"} <= files(client, run_id, "data")


def test_what_would_be_seen_and_what_was_decided_are_logged(
    trained_once: TrainedOnce, client: mlflow.MlflowClient, tmp_path: Path
) -> None:
    run_id = trained_once.outcome.published.run_id
    assert run_id is not None
    power = trained_once.outcome.trained.results[0].power
    assert power is not None
    kept = client.get_run(run_id).data
    assert kept.metrics["power_step_6_sd.medium"] == pytest.approx(power.mean(("step", 6.0)))
    assert kept.metrics["features_not_watched"] == len(power.not_watched)
    lines = Path(client.download_artifacts(run_id, "power.csv", str(tmp_path))).read_text()
    rows = [line.split(",") for line in lines.splitlines()]
    assert rows[0] == ["group", "feature", "fault", "budget", "injected", "seen", "watched"]
    name = next(iter(power.shares))
    share = power.share(name, ("drift", 6.0), "critical")
    assert ["default", name, "drift 6 sd", "critical", "20", str(share),
            str(name not in power.not_watched)] in rows  # fmt: skip
    text = Path(client.download_artifacts(run_id, "decisions.json", str(tmp_path))).read_text()
    decided = json.loads(text)["default"]
    data = trained_once.data
    assert decided["trained_on"]["end"] == str(max(s.timestamps[-1] for s in data.streams))
    assert decided["held_out_figures_of"]["readings"] == 640
    assert decided["not_watched"] == power.not_watched
    assert decided["drift"] in ("normal", "fault")
    noted = Path(client.download_artifacts(run_id, "notes.txt", str(tmp_path))).read_text()
    assert noted.splitlines() == trained_once.outcome.notes


def test_each_detector_has_a_child_run(
    trained_once: TrainedOnce, client: mlflow.MlflowClient, children: dict[str, Any]
) -> None:
    assert set(children) == {"isolation_forest", "one_class_svm", "lstm_autoencoder"}
    assert children["isolation_forest"].data.params["n_trees"] == "20"
    losses = client.get_metric_history(children["lstm_autoencoder"].info.run_id, "train_loss")
    assert [loss.step for loss in losses] == list(range(1, len(losses) + 1))
    assert len(losses) >= 1


def test_runs_are_listed_newest_first_and_paged(trained_once: TrainedOnce) -> None:
    registry = registry_of(trained_once.settings)
    first = json.loads(json.dumps(registry.runs(limit=3)))  # as it comes back over HTTP
    rest = registry.runs(limit=3, page=first["next_page"])
    assert len(first["runs"]) == 3
    assert [run["kind"] for run in rest["runs"]] == ["bundle"]
    assert rest["next_page"] is None
    with pytest.raises(InputError, match="page token"):
        registry.runs(page="nonsense")
    forest = registry.runs(model_name="isolation_forest")["runs"]
    assert [run["model_name"] for run in forest] == ["isolation_forest"]
    assert "n_eff" in forest[0]["metrics"]


def test_the_registered_model_loads_as_a_plain_pyfunc(
    trained_once: TrainedOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", mlflow.get_tracking_uri)
    mlflow.set_tracking_uri(trained_once.settings.mlflow_uri())
    model = mlflow.pyfunc.load_model("models:/anomaly-detection@champion")
    assert model.metadata.signature is not None
    example = model.input_example
    assert {"asset_id", "sensor_id", "timestamp", "flow"} <= set(example.columns)
    verdicts = model.predict(example)
    assert len(verdicts) == len(example)
    assert verdicts["final_score"].between(0, 1).all()
    assert (verdicts["error"] == "").all()


def test_detectors_load_in_their_native_flavours_and_score_alike(
    trained_once: TrainedOnce, client: mlflow.MlflowClient, children: dict[str, Any]
) -> None:
    mlflow.set_tracking_uri(trained_once.settings.mlflow_uri())
    result = trained_once.outcome.trained.results[0]
    task = trained_once.outcome.trained.tasks[0]
    assert result.model_set is not None
    values = [s.values for s in task.prepared.training]
    rows = scaled_rows(result.model_set, task.prepared.feature_names, values)[0][:50]
    for name in ("isolation_forest", "one_class_svm"):
        uri = native_uri(client, children[name])
        library = mlflow.sklearn.load_model(uri)
        detector: Any = result.model_set.detectors[name]
        theirs = -library.decision_function(detector.coordinates(rows))
        ours = detector.score(rows)
        if name == "isolation_forest":
            np.testing.assert_allclose(theirs, ours, atol=1e-9)
        else:  # ours is the logarithm of the kernel sum: the same order
            assert np.array_equal(np.argsort(theirs), np.argsort(ours))
    network = mlflow.pytorch.load_model(native_uri(client, children["lstm_autoencoder"]))
    import torch

    lstm: Any = result.model_set.detectors["lstm_autoencoder"]
    windows = torch.zeros(3, lstm.window, rows.shape[1])
    with torch.no_grad():
        torch.testing.assert_close(network(windows), lstm.network()(windows))


def test_each_detectors_run_says_in_which_flavour_it_is_there(children: dict[str, Any]) -> None:
    assert {name: run.data.tags[NATIVE_TAG] for name, run in children.items()} == {
        "isolation_forest": "sklearn", "one_class_svm": "sklearn", "lstm_autoencoder": "pytorch",
    }  # fmt: skip


def test_a_library_object_that_scores_otherwise_is_left_out_aloud(
    tmp_path: Path,
    make_mlflow: Callable[[Path], str],
    bento_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_mlflow(tmp_path)
    settings = settings_for(tmp_path, mlflow=True)
    monkeypatch.setattr(
        "training.publishing.mlflow_flavors.library_of", lambda detector, rows: None
    )
    done = run(Request(small_plant(readings=200), TINIEST, recipe={"data": "small"}), settings)
    client = mlflow.MlflowClient(settings.mlflow_uri(), settings.mlflow_uri())
    experiment = client.get_experiment_by_name("anomaly-detection").experiment_id
    parent = f"tags.`mlflow.parentRunId` = '{done.published.run_id}'"
    tags = [r.data.tags[NATIVE_TAG] for r in client.search_runs([experiment], parent)]
    assert len(tags) == 2
    assert all(tag.startswith("left out") for tag in tags)
    assert "one_class_svm: not logged in the sklearn flavour" in caplog.text


def test_a_process_elsewhere_loads_the_champion_and_makes_no_file(
    trained_once: TrainedOnce, tmp_path: Path
) -> None:
    """As a colleague would: nothing of the project, its address in the environment alone."""
    uri = trained_once.settings.mlflow_uri()
    script = (
        "import mlflow; m = mlflow.pyfunc.load_model('models:/anomaly-detection@champion');"
        "print(len(m.predict(m.input_example)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=tmp_path, capture_output=True,
        text=True, timeout=120, check=False,
        env={
            **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            "MLFLOW_TRACKING_URI": uri,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 0
    assert list(tmp_path.iterdir()) == []


def native_uri(client: mlflow.MlflowClient, run: Any) -> str:
    outputs = client.get_run(run.info.run_id).outputs.model_outputs
    return f"models:/{outputs[0].model_id}"


def test_nothing_in_the_registered_model_is_pickled(
    trained_once: TrainedOnce, tmp_path: Path
) -> None:
    mlflow.set_tracking_uri(trained_once.settings.mlflow_uri())
    home = mlflow.artifacts.download_artifacts(
        "models:/anomaly-detection/1", dst_path=str(tmp_path)
    )
    names = [path.name for path in Path(home).rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth"))]


def test_the_bento_store_holds_the_champion_with_its_labels(
    trained_once: TrainedOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_bento_home(trained_once.settings.var_dir / "bento", monkeypatch)
    (kept,) = stored()
    assert str(kept.tag).startswith(f"{MODEL_NAME}:v1-")
    assert kept.info.labels["registry_version"] == "1"
    assert kept.info.labels["run_id"] == trained_once.outcome.published.run_id
    assert Bundle.load(Path(kept.path)).version == trained_once.outcome.trained.bundle.version


def test_the_same_seed_gives_the_same_bundle(
    trained_once: TrainedOnce, tmp_path: Path, bento_home: Path
) -> None:
    request = Request(trained_once.data, TINY)
    again = run(request, settings_for(tmp_path, mlflow=False))
    assert again.trained.bundle.version == trained_once.outcome.trained.bundle.version
    assert again.published.run_id is None


@pytest.mark.usefixtures("bento_home")
def test_one_group_is_retrained_and_the_others_carried_over(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, mlflow=False)
    data = small_plant(readings=200)
    first = run(Request(data, TINIEST, group_by="asset_id", jobs=1), settings).trained.bundle
    other = small_plant(seed=5, readings=200)
    request = Request(other, TINIEST, only="PUMP_002", promote="true")
    second = run(request, settings).trained.bundle
    assert second.groups == first.groups == ["PUMP_001", "PUMP_002"]
    kept = [second.model_set(g).preprocessing.center.tolist() for g in second.groups]
    before = [first.model_set(g).preprocessing.center.tolist() for g in first.groups]
    assert kept[0] == before[0]
    assert kept[1] != before[1]


@pytest.mark.usefixtures("bento_home")
def test_one_group_is_retrained_by_the_rules_of_the_champion_only(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, mlflow=False)
    data = small_plant(readings=200)
    groups = tmp_path / "groups.toml"
    groups.write_text(
        '[[group]]\nname = "one"\nasset_id = "PUMP_001"\n\n[[group]]\nname = "others"\n'
        '\n[[group]]\nname = "absent"\nasset_id = "FAN_*"\n'
    )
    run(Request(data, TINIEST, groups_file=groups, jobs=1), settings)
    again = Request(data, TINIEST, groups_file=groups, only="one", promote="false")
    assert run(again, settings).trained.bundle.groups == ["one", "others"]
    groups.write_text(groups.read_text().replace("PUMP_001", "PUMP_002"))
    with pytest.raises(TrainingError, match=r"--groups: .* differs from the rules of the"):
        run(again, settings)
    groups.unlink()
    with pytest.raises(TrainingError, match=r"groups.toml: No such file"):
        run(again, settings)


@pytest.mark.usefixtures("bento_home")
def test_a_group_of_single_features_is_compared_with_the_champion_s(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, mlflow=False)
    whole = small_plant(readings=600)
    data = whole.with_features(whole.feature_names[:1])
    data = replace(data, single=[data.feature_names[0]] * len(data.streams))
    groups = tmp_path / "groups.toml"
    groups.write_text(f'[[group]]\nname = "alone"\nfeature = "{data.feature_names[0]}"\n')
    request = Request(data, TINIEST, groups_file=groups)
    run(request, settings)
    found = run(request, settings).published
    assert found.comparison is not None, found.message
    assert found.comparison.comparable
    assert found.comparison.champion.alarms["readings"] > 0


def test_a_bare_matrix_needs_a_group_when_the_champion_has_several(
    tmp_path: Path, bento_home: Path
) -> None:
    settings = settings_for(tmp_path, mlflow=False)
    data = small_plant(readings=200)
    champion = run(Request(data, TINIEST, group_by="asset_id", jobs=1), settings)
    matrix = TrainingData(data.feature_names, data.streams[:1], "matrix", timed=False)
    with pytest.raises(TrainingError, match="PUMP_001, PUMP_002"):
        run(Request(matrix, TINIEST), settings)
    found = run(Request(matrix, TINIEST, only="PUMP_001", promote="false"), settings)
    assert found.trained.bundle.groups == ["PUMP_001", "PUMP_002"]
    assert found.published.alias == "challenger"
    latest = (bento_home / "models" / MODEL_NAME / "latest").read_text()
    packed = champion.published.stored
    assert packed is not None
    assert packed.tag == f"{MODEL_NAME}:{latest}"  # what a Bento packs
    found = run(Request(matrix, TINIEST, only="PUMP_001"), settings)
    # the champion's own readings lie in no file, so that a matrix cannot be tried on them
    assert found.published.alias == "challenger"
    assert "not comparable with the champion" in found.published.message


def test_what_cannot_be_trained_on_is_named(tmp_path: Path) -> None:
    data = small_plant(readings=200)
    flat = [np.zeros_like(s.values) for s in data.streams]
    still = [replace(s, values=v) for s, v in zip(data.streams, flat, strict=True)]
    options = replace(TINIEST, watch_still=False)  # else any movement would be rare
    with pytest.raises(TrainingError, match="constant"):
        run(Request(replace(data, streams=still), options), settings_for(tmp_path, mlflow=False))
