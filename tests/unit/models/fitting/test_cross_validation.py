"""Out-of-fold magnitudes stand for those of the detectors fitted on all data."""

from __future__ import annotations

import numpy as np
import pytest

from models.fitting.cross_validation import FoldResult, Part, aligned
from models.fitting.model_set_fit import FitOptions, fit_model_set
from models.scoring.ensemble import Reading
from tests.unit.ensemble_scoring import one
from tests.unit.models.scoring.test_lost_readings import START, STEP

TRAINED, LIVE = 2500, 600


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_a_rounded_sensor_beside_a_switch_is_not_rare_for_good(share: float) -> None:
    """Most of its readings are alike, and so are their magnitudes, of which each fold has one."""
    draw = np.random.default_rng(0)
    level = np.round(draw.normal(0.3, 0.02, 6000), 2)
    rows = np.column_stack([level, draw.random(6000) < share])[: TRAINED + LIVE]
    times = np.datetime64("2026-01-01", "us") + np.arange(TRAINED) * np.timedelta64(600, "s")
    model_set, _ = fit_model_set([rows[:TRAINED]], [times], ["level", "valve"], FitOptions(seed=0))
    live = [
        Reading(START + i * STEP, {"level": float(level), "valve": float(valve)})
        for i, (level, valve) in enumerate(rows[TRAINED:])
    ]
    p = np.array([result["p"] for result in one(model_set, live).results])
    assert (p <= 1e-2).mean() <= 0.05
    assert np.median(p) >= 0.1


@pytest.mark.parametrize(("spread", "shift"), [(0.0, 0.1), (0.05, 0.1), (0.2, 0.05), (1.0, 0.01)])
def test_a_fold_is_shifted_if_its_readings_are_more_alike_than_the_levels(spread, shift) -> None:
    own = np.linspace(-spread, spread, 1001)  # the middle half is as wide as ``spread``
    fold = FoldResult(
        [(Part(0, 0, 2), {"a": np.array([1.0, np.nan]), "b": np.ones(2)}, {})], [], {"a": own}
    )
    ((_, found, warm),) = aligned(fold, {"a": own + 0.1}).parts
    assert found["a"][0] == pytest.approx(1.0 + shift)
    assert np.isnan(found["a"][1])
    assert (found["b"] == 1.0).all()
    assert warm == {}
