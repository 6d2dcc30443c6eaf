"""Fleets as they are: one small, silent, vanished or different asset never stops the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config import Settings
from datasets import Stream
from errors import TrainingError
from models.registry.base import CHAMPION
from models.registry.promotion import load_version
from tests.fixtures.training import TINIEST, run, settings_for
from training.cli.common import registry_of
from training.data.sources import TrainingData
from training.pipeline import Outcome
from training.request import Request

NAMES = ["vib", "temp", "flow"]


@pytest.fixture
def settings(tmp_path: Path, bento_home: Path) -> Settings:
    return settings_for(tmp_path / "var", mlflow=False)


def stream(asset: str, n: int = 200, seed: int = 0, spread: float = 1.0) -> Stream:
    values = np.random.default_rng(seed).normal([2, 60, 30], 0.1 * spread, (n, 3))
    times = np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(60, "s")
    return Stream(asset, None, times, values)


def fit(settings: Settings, *streams: Stream, names: list[str] = NAMES, by: str | None = "asset_id",
        **options: object) -> Outcome:  # fmt: skip
    data = TrainingData(names, list(streams), "made")
    request = Request(data, TINIEST, group_by=by, native=False, promote="true")
    return run(replace(request, **options), settings)  # type: ignore[arg-type]


def groups(settings: Settings) -> list[str]:
    registry = registry_of(settings)
    version = registry.alias(CHAMPION)
    assert version is not None
    return load_version(registry, version, settings.var_dir / "bundles").groups


@pytest.mark.parametrize("odd", [stream("ODD", 12), stream("ODD", 200, spread=0)])
def test_a_small_or_constant_asset_is_named_and_the_others_are_trained(
    settings: Settings, odd: Stream
) -> None:
    outcome = fit(settings, stream("A1"), stream("A2", seed=1), odd)
    assert groups(settings) == ["A1", "A2"]
    assert any("group 'ODD'" in note and "left out" in note for note in outcome.notes)
    assert {rule.group for rule in outcome.trained.bundle.rules} == {"A1", "A2"}


def test_where_none_can_be_trained_the_first_reason_is_told(settings: Settings) -> None:
    with pytest.raises(TrainingError, match="group 'A1': 12 readings are too few"):
        fit(settings, stream("A1", 12), stream("A2", 13))


def test_a_vanished_or_silent_asset_keeps_its_former_model_set(settings: Settings) -> None:
    fit(settings, stream("A1"), stream("A2", seed=1), stream("A3", seed=2))
    before = load_version(registry_of(settings), "1", settings.var_dir / "bundles")
    outcome = fit(settings, stream("A1", seed=5), stream("A2", spread=0))
    after = outcome.trained.bundle
    assert after.groups == ["A1", "A2", "A3"]
    for group in ("A2", "A3"):
        assert after.model_set(group).trained_at == before.model_set(group).trained_at
        assert after.group_for(group, None, None) == group
        assert any(f"group '{group}': its former model set" in note for note in outcome.notes)


def test_groups_of_another_kind_are_not_carried_over(settings: Settings) -> None:
    fit(settings, stream("A1"), stream("A2", seed=1))
    fit(settings, stream("A1", seed=5), by=None)
    assert groups(settings) == ["default"]


def test_two_types_of_machine_in_one_file(settings: Settings) -> None:
    names = [*NAMES, "current", "torque"]
    holes = np.full((200, 2), np.nan)
    pump = stream("PUMP_1")
    pump = replace(pump, values=np.hstack([pump.values, holes]))
    motor = stream("MOTOR_1", seed=1)
    motor = replace(motor, values=np.hstack([motor.values[:, :1], holes, motor.values[:, 1:]]))
    outcome = fit(settings, pump, motor, names=names, by=None)
    bundle = outcome.trained.bundle
    assert bundle.groups == ["default", "default_MOTOR_1"]
    assert bundle.group_for("MOTOR_1", None, None) == "default_MOTOR_1"
    assert bundle.group_for("PUMP_2", None, None) == "default"
    again = fit(settings, pump, motor, names=names, by=None, as_champion=True)
    assert again.trained.bundle.groups == ["default", "default_MOTOR_1"]


def test_readings_with_few_holes_are_used_in_training_as_live(settings: Settings) -> None:
    names = list("abcde")
    values = np.random.default_rng(0).normal(size=(300, 5))
    values[::3, 1] = np.nan
    whole = Stream("A", None, stream("A", 300).timestamps, values)
    outcome = fit(settings, whole, names=names, by=None)
    pre = outcome.trained.bundle.model_set("default").preprocessing
    assert (pre.missing, pre.max_imputed) == ("impute", 1)
    assert outcome.trained.results[0].report is not None
    assert outcome.trained.results[0].report.rows == 300
    assert any("80 training readings lack a few values" in note for note in outcome.notes)


def test_a_column_in_which_nothing_is_measured_is_named(settings: Settings) -> None:
    one = stream("A")
    spare = replace(one, values=np.hstack([one.values, np.full((200, 1), np.nan)]))
    outcome = fit(settings, spare, names=[*NAMES, "spare"], by=None)
    assert "spare: nothing is measured: not used" in outcome.notes
    assert outcome.trained.bundle.model_set("default").preprocessing.names == tuple(NAMES)


def in_mbar(stream: Stream) -> Stream:
    return replace(stream, values=stream.values * [1.0, 1.0, 1000.0])


def test_an_asset_in_another_unit_has_its_own_group_and_hides_nothing(settings: Settings) -> None:
    plant = [stream("A1"), in_mbar(stream("A2", seed=1)), stream("A3", seed=2)]
    outcome = fit(settings, *plant, by=None)
    bundle = outcome.trained.bundle
    served = [bundle.group_for(asset, None, None) for asset in ("A1", "A2", "A3", "NEW")]
    assert served == ["default", "default_A2", "default", "default"]
    for result in outcome.trained.results:
        assert result.power is not None
        assert "flow" not in result.power.not_watched
    assert sum("A2: flow lies at " in note for note in outcome.notes) == 1
    few = fit(settings, plant[0], in_mbar(stream("A2", 12)), plant[2], by=None)
    assert few.trained.bundle.group_for("A2", None, None) == "default_A2"  # its former model set
    again = fit(settings, *plant, by=None, as_champion=True)
    assert again.trained.bundle.rules == bundle.rules


def test_named_groups_are_kept_where_an_asset_has_another_unit(settings: Settings) -> None:
    plant = [stream("A1"), in_mbar(stream("A2", seed=1)), stream("A3", seed=2)]
    data = TrainingData(NAMES, plant, "made", column={(s.asset_id, None): "all" for s in plant})
    request = Request(data, TINIEST, group_by="line", native=False, promote="true")
    outcome = run(request, settings)
    assert outcome.trained.bundle.groups == ["all"]
    assert any("A2: flow lies at" in note for note in outcome.notes)
