"""How many folds the calibration has."""

from __future__ import annotations

import numpy as np
import pytest

from models.fitting.garbage.cleaning import clean
from models.fitting.options import FitOptions
from models.fitting.plan import FitPlan


@pytest.mark.parametrize(
    ("readings", "features", "folds"), [(3_000, 10, 5), (3_500, 10, 3), (3_500, 80, 5)]
)
def test_many_readings_have_fewer_folds_unless_scarce(
    readings: int, features: int, folds: int
) -> None:
    rows = np.random.default_rng(0).normal(size=(readings, features))
    names = [f"f{j}" for j in range(features)]
    plan = FitPlan(clean([rows], None, names), FitOptions(drift="fault"))
    assert len(plan.folds()) == folds
