"""What is said to be watched is watched by the model set that serves, not only by its twin."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from datasets import Stream
from models.fitting.model_set_fit import fit_model_set
from models.scoring.model_set import ModelSet
from models.scoring.policy import ScoringPolicy
from tests.fixtures.training import TINIEST
from training.data.preparation import Prepared
from training.fitting.injection_trials import WATCH
from training.fitting.parallel_fit import Result, Task, perform
from training.fitting.power import measure_power, score_with_points
from training.fitting.serving_check import likely_cause, lost_features
from training.fitting.stream_scores import HeldOut

pytestmark = pytest.mark.slow  # fits models

NAMES = ["press", "temp", "flow"]
N, CUT = 600, 480


def plant(from_reading: int, factor: float = 1000.0) -> list[Stream]:
    """Three assets; from some reading on, the pressure of one is in another unit."""
    rng = np.random.default_rng(3)
    times = np.datetime64("2026-01-01", "us") + np.arange(N) * np.timedelta64(60, "s")
    streams = [
        Stream(asset, None, times, rng.normal((8.0, 60.0, 30.0), (0.6, 4.0, 2.0), (N, 3)))
        for asset in ("P1", "P2", "P3")
    ]
    streams[1].values[from_reading:, 0] *= factor
    return streams


def fitted(streams: list[Stream]) -> Result:
    prepared = Prepared(NAMES, streams, [CUT] * len(streams))
    options = replace(TINIEST, trim=0.0)  # else the other unit is left out as a fault
    return perform(Task("P", prepared, options, ScoringPolicy(), power=True, refit=True), None)


def test_a_change_of_unit_in_the_newest_readings_blinds_the_one_that_serves_and_is_named() -> None:
    result = fitted(plant(N - 60))
    power = result.power
    assert power is not None
    assert power.share("press", WATCH) >= 0.9  # the twin never saw the new unit
    assert power.not_watched[0] == "press"
    why = power.lost["press"]
    assert why.startswith("press: 50% of the newest readings of P2 lie around ")
    assert why.endswith(", those before at 7.977: another unit, or a fault?")
    assert result.model_set is not None
    assert result.model_set.power["not_watched"] == power.not_watched
    assert result.model_set.power["lost"] == power.lost


def test_nothing_is_lost_where_the_newest_readings_are_as_before() -> None:
    result = fitted(plant(N))
    assert result.power is not None
    assert (result.power.lost, result.power.not_watched) == ({}, [])


def test_a_feature_that_the_one_that_serves_does_not_use_is_lost() -> None:
    streams = plant(N)
    twin = fit_model_set([s.values[:CUT] for s in streams], None, NAMES, TINIEST)[0]
    serving = fit_model_set([s.values[:, 1:] for s in streams], None, NAMES[1:], TINIEST)[0]
    held = HeldOut([twin] * 3, NAMES, streams, [CUT] * 3, ScoringPolicy())
    scored, points = score_with_points(held)
    power = measure_power(held, scored, points, trials=(WATCH,))
    assert power is not None
    found = lost_features(held, scored, points, power, serving)
    assert found == {"press": "they do not lie elsewhere; --no-refit keeps the fit without them"}
    assert lost_features(held, scored, points, power, twin) == {}


@pytest.mark.parametrize(("running", "level"), [(0.4, 5.0), (0.0, 1e-9)])
def test_a_feature_that_mostly_rested_does_not_lie_elsewhere_if_it_only_runs(
    running: float, level: float
) -> None:
    rng = np.random.default_rng(0)
    streams = plant(N)
    for stream in streams:
        runs = rng.random(N) < np.where(np.arange(N) < CUT, running, 0.9)
        stream.values[:, 0] = np.where(runs, level, 0.0) + 30.0
    held = HeldOut([], NAMES, streams, [CUT] * 3, ScoringPolicy())
    assert likely_cause(held, 0) == (0.0, "")
    streams[1].values[CUT:, 0] = 800.0
    assert likely_cause(held, 0)[1].startswith("press: 100% of the newest readings of P2 lie")


def test_readings_labelled_as_faults_are_no_cause_unless_they_were_fitted_on() -> None:
    streams = plant(N - 60)
    labels = (np.arange(N) >= N - 60).astype(np.int8)
    streams[1] = replace(streams[1], labels=labels)
    held = HeldOut([], NAMES, streams, [CUT] * 3, ScoringPolicy())
    assert likely_cause(held, 0) == (0.0, "")
    kept = cast(ModelSet, SimpleNamespace(options={"keep_labelled": True}))
    assert likely_cause(replace(held, sets=[kept]), 0)[1].startswith("press: 50% of the newest")
