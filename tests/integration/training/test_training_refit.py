"""What serves was fitted on all of the readings; its figures are of those it had not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config import Settings
from errors import TrainingError
from models.bundles.bundle import Bundle
from tests.fixtures.training import TINIEST, run, settings_for, small_plant
from training.cli.common import registry_of
from training.data.sources import TrainingData
from training.pipeline import Outcome
from training.request import Request

READINGS = 300


@pytest.fixture
def settings(tmp_path: Path, bento_home: Path) -> Settings:
    return settings_for(tmp_path / "var", mlflow=False)


@pytest.fixture
def data() -> TrainingData:
    plant = small_plant(readings=500)  # its faults come later than what is used of it
    return replace(plant, streams=[s.take(slice(READINGS)) for s in plant.streams])


def registered(settings: Settings, outcome: Outcome) -> Bundle:
    registry = registry_of(settings)
    home = registry.fetch(outcome.published.version, settings.var_dir / "bundles")
    return Bundle.load(home)


def test_all_of_the_readings_are_in_the_set_that_serves(
    settings: Settings, data: TrainingData
) -> None:
    outcome = run(Request(data, TINIEST), settings)
    result = outcome.trained.results[0]
    assert result.report is not None
    assert result.report.rows == 2 * READINGS
    bundle = registered(settings, outcome)
    twin = bundle.twin()
    assert twin.version == bundle.version
    newest = str(max(s.timestamps[-1] for s in data.streams))
    cut = str(data.streams[0].timestamps[READINGS * 4 // 5 - 1])
    whole, part = bundle.model_set("default"), twin.model_set("default")
    assert whole.trained_on["end"] == newest
    assert part.trained_on["end"] == cut
    assert part.figures["rows"] == 2 * READINGS * 4 // 5
    # the figures are those of readings that the twin had not seen
    measured = outcome.trained.measured["default"].alarms["readings"]
    assert measured <= 2 * READINGS // 5
    described = bundle.describe()["groups"]["default"]["one_class_svm"]
    assert described["trained_on"] == {
        "start": str(data.streams[0].timestamps[0]), "end": newest, "readings": 2 * READINGS,
    }  # fmt: skip


def test_one_switch_turns_it_off(settings: Settings, data: TrainingData) -> None:
    outcome = run(Request(data, TINIEST, refit=False), settings)
    result = outcome.trained.results[0]
    assert result.twin is None
    assert result.report is not None
    assert result.report.rows == 2 * READINGS * 4 // 5
    bundle = registered(settings, outcome)
    assert bundle.twin() is bundle
    assert result.power is not None  # which costs no second fit


def test_a_fit_with_nothing_held_out_is_fitted_once(settings: Settings, data: TrainingData) -> None:
    outcome = run(Request(data, TINIEST, holdout=0.0), settings)
    result = outcome.trained.results[0]
    assert (result.twin, result.power) == (None, None)
    assert registered(settings, outcome).model_set("default").trained_on["readings"] == 600


def test_what_is_not_watched_is_in_the_bundle(settings: Settings, data: TrainingData) -> None:
    streams = []
    for i, stream in enumerate(data.streams):
        values = stream.values.copy()
        values[:, 0] += 100 * i * values[:, 0].std()  # levels that hide what happens to each
        streams.append(replace(stream, values=values))
    outcome = run(Request(replace(data, streams=streams), TINIEST), settings)
    power = outcome.trained.results[0].power
    assert power is not None
    assert data.feature_names[0] in power.not_watched
    bundle = registered(settings, outcome)
    described = bundle.describe()["groups"]["default"]
    assert described["isolation_forest"]["not_watched"] == power.not_watched
    assert described["lstm_autoencoder"]["is_trained"] is False
    kept = bundle.model_set("default").power
    assert kept == bundle.twin().model_set("default").power == power.to_dict()


def test_a_group_carried_over_has_its_twin_carried_over(settings: Settings) -> None:
    data = small_plant(readings=READINGS, assets=2)
    whole = run(Request(data, TINIEST, group_by="asset_id"), settings)
    before = registered(settings, whole).twin()
    group, other = before.groups
    again = run(Request(data, replace(TINIEST, seed=7), only=group), settings)
    after = registered(settings, again).twin()
    assert after.model_set(other).trained_on == before.model_set(other).trained_on
    assert after.model_set(group).options["seed"] == 7


def test_labelled_faults_are_left_out_unless_kept(settings: Settings, data: TrainingData) -> None:
    marked = []
    for stream in data.streams:
        labels = np.zeros(READINGS, np.int8)
        labels[50:70] = 1
        marked.append(replace(stream, labels=labels))
    data = replace(data, streams=marked)
    outcome = run(Request(data, TINIEST), settings)
    assert outcome.trained.results[0].report.rows == 2 * (READINGS - 20)  # type: ignore[union-attr]
    assert any("40 of 600 training readings are labelled faulty" in n for n in outcome.notes)
    kept = run(Request(data, replace(TINIEST, keep_labelled=True)), settings)
    assert kept.trained.results[0].report.rows == 2 * READINGS  # type: ignore[union-attr]


def test_nothing_but_labelled_faults_is_said(settings: Settings, data: TrainingData) -> None:
    marked = [replace(s, labels=np.ones(READINGS, np.int8)) for s in data.streams]
    with pytest.raises(TrainingError, match="--keep-labelled"):
        run(Request(replace(data, streams=marked), TINIEST), settings)
