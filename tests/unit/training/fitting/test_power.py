"""Injected faults: what a model set sees of them, and what it is blind to."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from datasets import Stream
from models.fitting.model_set_fit import fit_model_set
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from tests.fixtures.training import TINIEST
from training.fitting.deviations import normal_std
from training.fitting.injection_trials import SEEN, TRIALS, WATCH, trial_name
from training.fitting.power import INJECTIONS, Power, measure_power, score_with_points
from training.fitting.stream_scores import HeldOut

pytestmark = pytest.mark.slow  # fits models

NAMES = ["near", "level", "still"]
POLICY = ScoringPolicy()
CUT = 600


def plant(readings: int = 900) -> list[Stream]:
    """Two assets: ``level`` differs between them by a hundred of its own deviations."""
    rng = np.random.default_rng(5)
    times = np.datetime64("2026-01-01", "us") + np.arange(readings) * np.timedelta64(1, "m")
    out = []
    for asset, level in (("A", 0.0), ("B", 100.0)):
        values = rng.normal(size=(readings, 3))
        values[:, 1] += level
        values[:, 2] = 7.0
        out.append(Stream(asset, None, times, values))
    return out


@pytest.fixture(scope="module")
def streams() -> list[Stream]:
    return plant()


@pytest.fixture(scope="module")
def model_set(streams: list[Stream]) -> ModelSet:
    return fit_model_set([s.values[:CUT] for s in streams], None, NAMES, TINIEST)[0]


def measured(model_set: ModelSet, streams: list[Stream]) -> Power | None:
    skip = [CUT] * len(streams)
    held = HeldOut([model_set] * len(streams), NAMES, streams, skip, POLICY)
    return measure_power(held, *score_with_points(held))


@pytest.fixture(scope="module")
def power(model_set: ModelSet, streams: list[Stream]) -> Power:
    found = measured(model_set, streams)
    assert found is not None
    return found


def test_a_step_is_seen_where_the_scale_is_the_streams_own(power: Power) -> None:
    assert power.share("near", WATCH) >= 0.9
    assert not {"near", "still"} & set(power.not_watched)


def test_a_feature_hidden_by_the_others_levels_is_not_watched(power: Power) -> None:
    assert power.share("level", WATCH) < 0.5
    assert power.not_watched == ["level"]
    assert power.not_used == []


def test_what_stood_still_is_moved(power: Power) -> None:
    assert list(power.shares["still"]) == ["moves"]
    assert power.watch("still") >= 0.9


def test_what_no_detector_sees_is_not_watched(streams: list[Stream]) -> None:
    options = replace(TINIEST, watch_still=False)
    blind = fit_model_set([s.values[:CUT] for s in streams], None, NAMES, options)[0]
    found = measured(blind, streams)
    assert found is not None
    assert found.not_used == ["still"]
    assert "still" in found.not_watched


def test_every_kind_is_tried_and_stricter_budgets_see_less(power: Power) -> None:
    assert power.injected == INJECTIONS
    for feature in ("near", "level"):
        assert list(power.shares[feature]) == [trial_name(trial) for trial in TRIALS]
    order = [power.budgets.index(name) for name in ("critical", "high", "medium", "low")]
    small = power.shares["near"]["step 3 sd"]
    assert [small[k] for k in order] == sorted(small, reverse=True)
    assert power.share("near", ("spike", 12.0)) >= 0.9
    assert power.share("near", ("stuck", 0.0)) >= 0.9


def test_it_is_json_and_comes_back(power: Power) -> None:
    kept = json.loads(json.dumps(power.to_dict(), allow_nan=False))
    assert Power.from_dict(kept) == power
    assert power.flat()["features_not_watched"] == 1.0
    assert np.isnan(Power.from_dict({}).share("near", WATCH))


def test_the_same_again_gives_the_same(
    power: Power, model_set: ModelSet, streams: list[Stream]
) -> None:
    assert measured(model_set, streams) == power


def test_alarms_that_are_there_anyway_see_nothing(model_set: ModelSet) -> None:
    loud = plant()
    for stream in loud:
        stream.values[CUT:, 0] += 50.0  # alarms all the time, with the fault and without
    found = measured(model_set, loud)
    assert found is not None
    assert found.share("near", WATCH) <= 0.2


def test_nothing_is_injected_near_labelled_faults_or_without_room(
    model_set: ModelSet, streams: list[Stream]
) -> None:
    short = [s.take(slice(CUT + SEEN - 1)) for s in streams]
    assert measured(model_set, short) is None
    labels = np.zeros(900, np.int8)
    labels[CUT + SEEN - 1 :: SEEN] = 1
    labelled = [Stream(s.asset_id, s.sensor_id, s.timestamps, s.values, labels) for s in streams]
    skip = [CUT, CUT]
    _, points = score_with_points(HeldOut([model_set] * 2, NAMES, labelled, skip, POLICY))
    assert points == []


def test_the_deviation_is_robust_and_the_streams_own() -> None:
    (stream, _) = plant(2000)
    stream.values[100:120, 0] = 65535.0
    stream.values[:, 2] = np.arange(2000) % 50 == 0  # the same value nearly always
    sd = normal_std(stream, NAMES)
    assert sd[:2] == pytest.approx([1.0, 1.0], rel=0.1)
    assert sd[2] > 0


def test_what_is_usual_at_a_time_is_no_deviation() -> None:
    times = np.datetime64("2026-02-02", "us") + np.arange(960) * np.timedelta64(30, "m")
    usual = 8.0 * np.sin(np.arange(960) / 24.0 * np.pi)[:, None]
    values = usual * [1.0, 1.0, 0.0] + np.random.default_rng(0).normal(size=(960, 3))
    pre = fit_model_set([values], [times], NAMES, TINIEST)[0].preprocessing
    assert pre.seasonality is not None
    stream = Stream("A", None, times, values)
    assert normal_std(stream, NAMES)[:2] == pytest.approx([8.0, 8.0], rel=0.15)
    assert normal_std(stream, NAMES, pre) == pytest.approx([1.0, 1.0, 1.0], rel=0.15)


def test_faults_of_a_counter_are_in_its_rate() -> None:
    rng = np.random.default_rng(6)
    times = np.datetime64("2026-01-01", "us") + np.arange(900) * np.timedelta64(1, "m")
    values = rng.normal(size=(900, 2))
    values[:, 1] = np.cumsum(50.0 + values[:, 1])
    stream = Stream("A", None, times, values)
    names = ["near", "energy"]
    counted = fit_model_set([values[:CUT]], [times[:CUT]], names, TINIEST)[0]
    held = HeldOut([counted], names, [stream], [CUT], POLICY)
    found = measure_power(held, *score_with_points(held))
    assert found is not None
    assert found.share("energy", WATCH) >= 0.9
    assert found.share("energy", ("step", 3.0)) > found.share("energy", ("likeness", 0.0))
    assert found.share("energy", ("stuck", 0.0)) >= 0.9, "it goes on at one rate"
