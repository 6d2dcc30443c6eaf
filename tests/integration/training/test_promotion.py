"""Promotion under the rule, by force, and back; with MLflow off, since the rule is the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config import Settings
from datasets import Dataset, save
from models.registry.base import CHALLENGER, CHAMPION
from tests.fixtures.training import TINIEST, run, settings_for, small_plant, use_bento_home
from training import drift, promote
from training.cli.common import registry_of
from training.data.sources import TrainingData, from_matrix
from training.fitting.injection_trials import WATCH
from training.pipeline import Outcome
from training.publishing.comparison import Column, verdict
from training.request import Request

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def settings(tmp_path: Path, bento_home: Path) -> Settings:
    return settings_for(tmp_path / "var", mlflow=False)


@pytest.fixture(scope="module")
def plant() -> TrainingData:
    return small_plant(readings=500)


@pytest.fixture(scope="module")
def data(plant: TrainingData) -> TrainingData:
    """What is trained on: the plant's first readings."""
    return replace(plant, streams=[s.take(slice(300)) for s in plant.streams])


@pytest.fixture(scope="module")
def file(plant: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the plant's readings, newer ones than were trained on among them; never changed."""
    path = tmp_path_factory.mktemp("plant") / "plant.csv"
    save(path, Dataset(plant.feature_names, plant.streams))
    return path


@pytest.fixture(scope="module")
def trained_first(
    data: TrainingData, file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    """The first training and the folder of its files; never changed."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        use_bento_home(folder / "bento", patch)
        return folder, fit(settings_for(folder / "var", mlflow=False), data, file)


@pytest.fixture
def first(settings: Settings, tmp_path: Path, trained_first: tuple[Path, Outcome]) -> Outcome:
    """The first training, whose files lie where the test's settings look for them."""
    folder, outcome = trained_first
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return outcome


@pytest.fixture
def command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command of ``training`` under the test's settings: exit code and all it printed."""
    monkeypatch.setattr("training.cli.common.load_settings", lambda: settings)

    def call(module: object, *argv: str) -> tuple[int, str]:
        capsys.readouterr()
        code = module.main(list(argv))  # type: ignore[attr-defined]
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


def fit(
    settings: Settings, data: TrainingData, file: Path, mode: str = "auto", refit: bool = True
) -> Outcome:
    recipe = {"data": str(file)}
    return run(Request(data, TINIEST, promote=mode, recipe=recipe, refit=refit), settings)


def test_a_bundle_that_is_not_worse_is_promoted_at_once(
    settings: Settings, data: TrainingData, file: Path, first: Outcome
) -> None:
    second = fit(settings, data, file).published
    assert second.alias == CHAMPION
    assert second.comparison is not None
    assert second.comparison.champion.alarms == second.comparison.challenger.alarms
    assert registry_of(settings).alias(CHAMPION) == "2"


def test_the_twins_are_compared_on_what_neither_was_fitted_on(
    settings: Settings, data: TrainingData, file: Path, first: Outcome
) -> None:
    # the first one's twin knows readings up to the 240th
    oldest = replace(data, streams=[s.take(slice(240)) for s in data.streams])
    second = fit(settings, oldest, file).published
    assert second.alias == CHALLENGER
    assert "not comparable" in second.message
    assert "none of the readings is newer than all that both were fitted on" in second.message
    older = replace(data, streams=[s.take(slice(260)) for s in data.streams])
    third = fit(settings, older, file).published  # holds out those from the 208th on
    assert third.comparison is not None
    assert third.comparison.champion.alarms["readings"] == 2 * 20


def test_a_feature_that_is_no_longer_watched_keeps_a_challenger_back(
    settings: Settings, data: TrainingData, first: Outcome
) -> None:
    power = first.trained.results[0].power
    assert power is not None
    feature = max(power.shares, key=lambda f: power.share(f, WATCH))
    at = data.feature_names.index(feature)
    streams = [replace(s, values=s.values.copy()) for s in data.streams]
    for stream in streams:
        stream.values[:, at] = 4.5  # the sensor's cable is cut
    dead = Request(replace(data, streams=streams), replace(TINIEST, watch_still=False))
    second = run(dead, settings).published
    assert second.alias == CHALLENGER
    assert f"no longer watches {feature}" in second.message
    assert "--force" in second.message


def matrix(path: Path, values: np.ndarray, names: list[str]) -> Request:
    """A training on a bare matrix, as ``POST /train`` requests it."""
    np.savez(path, values=values, names=np.array(names))
    return Request(from_matrix(path), TINIEST, as_champion=True, recipe={"data": str(path)})


def test_a_matrix_that_is_not_of_this_plant_stays_challenger(
    settings: Settings, tmp_path: Path
) -> None:
    """Its readings have no times, so the former readings are compared on, too."""
    rng = np.random.default_rng(0)
    level = np.cumsum(rng.normal(size=(1400, 1)), axis=0)
    level = (level - np.convolve(level[:, 0], np.ones(40) / 40, "same")[:, None]) / 3
    values = np.array([60.0, 8.0, 5.0]) + level + 0.2 * rng.normal(size=(1400, 3))
    names, former = ["a", "b", "c"], tmp_path / "former.npz"
    run(matrix(former, values[:800], names), settings)
    newer = run(matrix(tmp_path / "newer.npz", values[800:], names), settings).published
    assert (newer.version, newer.alias) == ("2", CHAMPION)
    (tmp_path / "newer.npz").replace(former)
    noise = rng.normal(values.mean(axis=0), 0.3 * values.std(axis=0), (600, 3))
    registry_of(settings).set_alias(CHAMPION, "1")
    for other in (noise, 3 * values[800:], values[800:] + 20.0):
        third = run(matrix(tmp_path / "third.npz", other, names), settings).published
        assert third.alias == CHALLENGER, third.message
    assert "that the champion was tested on for anomalies, the champion" in third.message or (
        "a person must decide" in third.message
    )
    former.unlink()
    last = run(matrix(tmp_path / "last.npz", values[800:], names), settings).published
    assert last.alias == CHALLENGER
    assert "cannot be read again" in last.message


def test_promote_compares_on_newer_readings_only(
    settings: Settings,
    data: TrainingData,
    file: Path,
    command: Command,
    tmp_path: Path,
    first: Outcome,
) -> None:
    fit(settings, data, file, "false")
    save(tmp_path / "known.csv", Dataset(data.feature_names, data.streams))
    code, printed = command(promote, "--data", str(tmp_path / "known.csv"))
    assert code == promote.EXIT_NOT_PROMOTED
    end = str(max(s.timestamps[-1] for s in data.streams))
    text = " ".join(printed.split())
    assert "not comparable: none of the readings is newer than all that both were fitted" in text
    assert end[:19] in text
    assert "kept back on request" in text  # the verdict of its training
    code, printed = command(promote)
    assert code == 0, printed
    assert "400" in printed  # 200 of each of the two pumps


def test_other_features_are_not_comparable_and_stay_challenger(
    settings: Settings, data: TrainingData, file: Path, first: Outcome
) -> None:
    names = ["a", *data.feature_names[1:]]
    second = fit(settings, replace(data, feature_names=names), file).published
    assert second.alias == CHALLENGER
    assert "not comparable" in second.message
    assert "python -m training.promote --force" in second.message


def test_a_champion_for_other_assets_is_not_comparable_and_stays(
    settings: Settings, data: TrainingData, plant: TrainingData, file: Path, command: Command,
    tmp_path: Path,
) -> None:  # fmt: skip
    own = tmp_path / "plant.csv"
    shutil.copyfile(file, own)
    run(Request(data, TINIEST, group_by="asset_id", recipe={"data": str(own)}), settings)
    mine = [replace(s, asset_id=f"MY {s.asset_id}") for s in plant.streams]
    save(own, Dataset(plant.feature_names, mine))
    learnt = replace(data, streams=[s.take(slice(300)) for s in mine])
    assert fit(settings, learnt, own).published.alias == CHALLENGER
    code, printed = command(promote)
    assert code == promote.EXIT_NOT_PROMOTED, printed
    reason = (
        "not comparable: one of them does not cover these streams: no model group is defined"
        " for asset"
    )
    assert f"{reason} 'MY " in " ".join(printed.split())
    assert registry_of(settings).alias(CHAMPION) == "1"


def test_list_promote_and_roll_back(
    settings: Settings, data: TrainingData, file: Path, command: Command, first: Outcome
) -> None:
    fit(settings, data, file, "false")
    registry = registry_of(settings)
    assert (registry.alias(CHAMPION), registry.alias(CHALLENGER)) == ("1", "2")
    code, printed = command(promote, "--list")
    assert code == 0
    assert "challenger" in printed
    assert "champion" in printed
    code, printed = command(promote)
    assert code == 0, printed
    assert "injected faults found" in printed
    assert "labelled faults found" in printed
    assert (registry.alias(CHAMPION), registry.alias(CHALLENGER)) == ("2", None)
    code, printed = command(promote, "--rollback")
    assert code == 0
    assert registry.alias(CHAMPION) == "1"
    code, printed = command(promote, "--rollback")
    assert code == 1
    assert "nothing to go back to" in printed


def test_a_worse_challenger_needs_force(
    settings: Settings, data: TrainingData, file: Path, command: Command, first: Outcome
) -> None:
    shifted = [replace(s, values=s.values + 40 * s.values.std(axis=0)) for s in data.streams]
    run(
        Request(replace(data, streams=shifted), TINIEST, promote="false",
                recipe={"data": str(file)}),
        settings,
    )  # fmt: skip
    code, printed = command(promote)
    assert code == promote.EXIT_NOT_PROMOTED
    assert "not promoted, worse: its false-alarm rate" in printed
    assert registry_of(settings).alias(CHAMPION) == "1"
    code, printed = command(promote, "--force")
    assert code == 0
    assert registry_of(settings).alias(CHAMPION) == "2"


def test_without_a_challenger_there_is_nothing_to_promote(command: Command) -> None:
    code, printed = command(promote)
    assert code == 1
    assert "no challenger" in printed


def test_a_champion_that_cannot_be_loaded_does_not_stop_a_training(
    settings: Settings, data: TrainingData, file: Path, first: Outcome
) -> None:
    for path in settings.var_dir.rglob("model_set.json"):
        path.write_text("{}")
    second = fit(settings, data, file)
    assert second.published.alias == CHALLENGER
    assert any("cannot be loaded" in note for note in second.notes)


def test_drift_names_the_features_that_moved(
    settings: Settings,
    data: TrainingData,
    file: Path,
    command: Command,
    tmp_path: Path,
    first: Outcome,
) -> None:
    moved = [s.values.copy() for s in data.streams]
    for values in moved:
        values[:, 2] += 5 * values[:, 2].std()
    streams = [replace(s, values=v) for s, v in zip(data.streams, moved, strict=True)]
    save(tmp_path / "recent.csv", Dataset(data.feature_names, streams))
    code, printed = command(drift, "--data", str(tmp_path / "recent.csv"), "--json")
    assert code == 0
    found = json.loads(printed)["groups"]["default"]
    assert found[data.feature_names[2]]["state"] == "shifted"
    assert drift.moved(found)[0] == data.feature_names[2]
    code, printed = command(drift, "--data", str(file))
    assert code == 0
    assert "temperature" in printed


def test_drift_without_a_champion_says_what_to_run(command: Command) -> None:
    code, printed = command(drift)
    assert code == 1
    assert "training.fit" in printed


def test_a_lost_feature_is_a_reason_by_itself() -> None:
    before = replace(column(0.001, 9), seen={("g", "a"): 1.0, ("g", "b"): 0.5, ("g", "c"): 0.9})
    now = replace(column(0.001, 9), seen={("g", "a"): 0.5, ("g", "b"): 0.4, ("g", "c"): 0.3})
    better, why = verdict(before, now, 0.001)
    assert not better
    assert "no longer watches c, where" in why
    unknown = replace(now, seen={("g", "a"): float("nan"), ("g", "b"): 0.5, ("g", "c"): 0.9})
    assert verdict(before, unknown, 0.001)[0]  # it stood still: nothing says that it was lost
    unused = replace(now, seen={("g", "b"): 0.5, ("g", "c"): 0.9})
    assert "no longer watches a, where" in verdict(before, unused, 0.001)[1]


def column(rate: float, injected: int, events: int = 0) -> Column:
    return Column("v", {"rate": rate}, None, (events, 10), (injected, 10))


@pytest.mark.parametrize(
    ("champion", "challenger", "better"),
    [
        (column(0.001, 9), column(0.001, 9), True),
        (column(0.001, 9), column(0.0019, 9), True),
        (column(0.001, 9), column(0.0030, 9), False),
        (column(0.050, 9), column(0.0300, 9), True),
        (column(0.001, 9), column(0.0000, 2), False),  # blind, not calm
        (column(0.001, 9, 8), column(0.001, 9, 5), False),
    ],
)
def test_the_rule(champion: Column, challenger: Column, better: bool) -> None:
    assert verdict(champion, challenger, 0.001)[0] is better
