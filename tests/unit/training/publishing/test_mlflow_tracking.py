"""What is logged of a training: its settings, its tables, and a run that never stays open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from models.bundles.bundle import Bundle
from models.detectors.base import LSTM_AUTOENCODER
from models.fitting.model_set_fit import FitReport
from models.fitting.options import FitOptions
from models.registry.base import FileRegistry
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from training.data.preparation import Prepared
from training.data.sources import TrainingData
from training.evaluation.summary import Measures
from training.fitting.parallel_fit import Result, Task
from training.fitting.power import Power
from training.publishing import mlflow_tracking as tracking


class Runs(FileRegistry):
    """A registry that notes the runs begun and failed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.begun: list[Mapping[str, Any]] = []
        self.failed: list[str] = []

    def begin_run(self, name: str, documents: Mapping[str, Mapping[str, Any]]) -> str:
        self.begun.append(documents)
        return f"{name}-{len(self.begun)}"

    def fail_run(self, run_id: str) -> None:
        self.failed.append(run_id)


def task(name: str, **options: Any) -> Task:
    return Task(name, Prepared(["x"], [], []), FitOptions(**options), ScoringPolicy())


def trained(bundle: Bundle, tasks: list[Task], results: list[Result]) -> tracking.Trained:
    measured = {"a": Measures({"rate": 0.002, "low": 0.0, "high": 0.1, "readings": 50}, [], {})}
    data = TrainingData(["x"], [], "a file")
    return tracking.Trained(bundle, Path(), tasks, results, measured, {}, data, {"data": "f.csv"})


def test_a_run_begins_with_what_is_known_of_the_data_and_fails_with_the_training(
    tmp_path: Path,
) -> None:
    registry = Runs(tmp_path)
    with tracking.begun_run(registry, {"rows": 3}, {"grade": "High"}) as run_id:
        assert run_id == "training-1"
    assert registry.begun == [
        {"data/fingerprint.json": {"rows": 3}, "data/quality.json": {"grade": "High"}}
    ]
    assert registry.failed == []
    with pytest.raises(KeyboardInterrupt), tracking.begun_run(registry, {}):
        raise KeyboardInterrupt
    assert registry.failed == ["training-2"]


def test_without_mlflow_there_is_no_run(tmp_path: Path) -> None:
    with tracking.begun_run(FileRegistry(tmp_path), {"rows": 3}) as run_id:
        assert run_id is None


def test_settings_are_the_command_and_what_all_groups_share(bundle: Bundle) -> None:
    found = trained(bundle, [task("a", seed=3, folds=4), task("b", seed=3, folds=5)], []).settings()
    assert found["recipe.data"] == "f.csv"
    assert found["seed"] == 3
    assert "folds" not in found  # the groups differ
    assert "isolation_forest" not in found  # nothing was asked for


def test_a_group_that_could_not_be_measured_has_a_line_all_the_same(
    bundle: Bundle, model_set: ModelSet
) -> None:
    power = Power(["medium"], {"x": {"step 6 sd": [0.25]}}, 20, ["idle"])
    results = [
        Result("a", model_set, FitReport(100, 2, 1.5, "normal"), power=power),
        Result("b"),
    ]
    columns, first, other = tracking._group_table(trained(bundle, [], results))
    line = dict(zip(columns, first, strict=True))
    assert (line["group"], line["readings"], line["drift"]) == ("a", 100, "normal")
    assert (line["alarm_rate"], line["not_watched"]) == (0.002, "x; idle")
    assert [value for value in other if value is not None] == ["b"]
    assert len(other) == len(columns)


def test_what_was_seen_of_injected_faults_is_a_line_each() -> None:
    shares = {"x": {"step 6 sd": [0.25, 0.75], "stuck": [0.5, 1.0]}, "y": {"step 6 sd": [0.5, 0.4]}}
    power = Power(["low", "medium"], shares, 20, ["idle"])
    head, *lines = tracking._power_table([Result("a"), Result("b", power=power)])
    assert head[-1] == "watched"
    assert len(lines) == 3 * 2 + 1
    assert lines[1] == ("b", "x", "step 6 sd", "medium", 20, 0.75, True)
    assert lines[-2] == ("b", "y", "step 6 sd", "medium", 20, 0.4, False)
    assert lines[-1] == ("b", "idle", "", "", 0, 0.0, False)


def test_the_loss_by_epoch_is_a_series_for_each_figure(model_set: ModelSet) -> None:
    history = tracking._history(Result("a", model_set))
    epochs = model_set.detectors[LSTM_AUTOENCODER].history  # type: ignore[attr-defined]
    assert history == {
        name: [epoch[name] for epoch in epochs] for name in ("train_loss", "val_loss")
    }
    assert tracking._history(Result("a")) == {}


def test_parameters_and_folders_have_a_form_that_mlflow_takes() -> None:
    assert tracking._params({"a": 1, "b": "x" * 999}) == {"a": "1", "b": "x" * 250}
    assert tracking._plain("pump 4/ü") == "pump_4_ü"
