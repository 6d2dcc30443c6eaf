"""A resting feature that stays away for longer than ever before: noticed, and one event."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.detectors.base import ISOLATION_FOREST, ONE_CLASS_SVM
from models.fitting.garbage.stay_rates import fit_stays
from models.fitting.model_set_fit import fit_model_set
from models.fitting.options import FitOptions
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.features.repeats import LENGTH
from models.scoring.features.standing import fit_standing
from models.scoring.model_set import ModelSet
from models.scoring.stream_work import Reading
from tests.unit.ensemble_scoring import in_pieces, one
from tests.unit.models.fitting.trials.test_resting import NAMES, plant
from tests.unit.models.scoring.readings.test_lost_readings import START, STEP

STOPS = NAMES.index("stops")


def resting(n: int, *stays: tuple[int, int]) -> np.ndarray:
    """Return a feature (n, 1) at 0, but for stays (first reading, length) at 1."""
    out = np.zeros((n, 1))
    for first, length in stays:
        out[first : first + length] = 1.0
    return out


def rarity(*stays: tuple[int, int]) -> np.ndarray | None:
    values = resting(1000, *stays)
    standing = fit_standing(values, ["pump"])
    assert standing is not None
    found = fit_stays([values], standing)
    return None if found is None else found.rarity[0]


def test_a_stay_counts_from_twice_the_longest_of_training_on():
    found = rarity((100, 1), (300, 2), (500, 4))
    assert found is not None
    assert not found[:8].any()
    assert found[8] == pytest.approx(np.log10(2 * 1001) + 4 * np.log10(2), abs=0.2)
    assert (np.diff(found[8:]) > 0).all()


def test_few_moves_do_not_show_how_long_they_last_and_long_ones_leave_no_room():
    assert rarity((100, 1), (300, 2)) is None
    assert rarity((100, 1), (300, 1), (500, LENGTH // 2)) is None


def test_counters_are_not_watched():
    values = resting(1000, (100, 1), (300, 2), (500, 4))
    standing = fit_standing(values, ["pump"])
    assert standing is not None
    assert fit_stays([values], standing, ["pump"]) is None


@pytest.fixture(scope="module")
def fitted() -> ModelSet:
    options = FitOptions(seed=0, models=(ISOLATION_FOREST, ONE_CLASS_SVM))
    return fit_model_set([plant(4500)[:1500]], None, NAMES, options)[0]


@pytest.fixture
def away() -> list[Reading]:
    """Readings of which 60 on have a stop each, as 3 % of training's had."""
    rows = plant(120, seed=9, rate=0.0)
    rows[:, STOPS] = 0.0
    rows[60:100, STOPS] = 1.0
    return [
        Reading(START + i * STEP, dict(zip(NAMES, row, strict=True)))
        for i, row in enumerate(rows.tolist())
    ]


@pytest.mark.slow
def test_a_feature_that_stays_away_alarms_and_is_named(fitted, away):
    found = one(fitted, away).results
    assert not any(r["is_anomaly"] for r in found[:62])
    assert all(r["is_anomaly"] for r in found[75:100])
    assert len({r["metadata"]["event"]["id"] for r in found[75:100]}) == 1
    first = found[80]["metadata"]["explanation"]["features"][0]
    assert first["feature"] == "stops"
    without = replace(fitted.preprocessing, stays=None)
    fitted = replace(fitted, preprocessing=without)
    assert not any(r["is_anomaly"] for r in one(fitted, away).results[60:100])


@pytest.mark.slow
def test_it_is_the_same_in_batches_of_any_size_and_for_a_stored_set(fitted, away):
    whole = [r["log10_p"] for r in one(fitted, away).results]
    for size in (1, 7, 40):
        parts, _ = in_pieces(fitted, away, size)
        assert [r["log10_p"] for r in parts] == pytest.approx(whole)
    stored = Preprocessing.from_dict(fitted.preprocessing.to_dict())
    again = one(replace(fitted, preprocessing=stored), away).results
    assert [r["log10_p"] for r in again] == pytest.approx(whole)
