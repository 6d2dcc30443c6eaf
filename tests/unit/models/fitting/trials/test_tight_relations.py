"""Restating readings must not break relations that show faults better than it does."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from models.arrays import Floats
from models.fitting.operation.condition_fit import find_conditions
from models.fitting.scaling import SHRINKAGE
from models.fitting.trials.distance import fit_distance, fit_tight_distance

NAMES = ["demand", "stages", "power", "pressure", "flow", "heat"]
READINGS = 4320  # 30 days, every 10 minutes


def pumping_station(seed: int) -> Floats:
    """Return (4320, 6): demand switches pumps; all else follows these two closely."""
    rng = np.random.default_rng(seed)
    n = READINGS
    wander = lfilter([0.25], [1.0, -0.97], rng.normal(size=n)) * 6.0
    demand = np.clip(60.0 + 40.0 * np.sin(np.arange(n) / 144 * 2.0 * np.pi) + wander, 5.0, None)
    stages, on = np.zeros(n), 1
    for i, asked in enumerate(demand):
        on += int(asked > 45 * on + 4) - int(on > 1 and asked < 45 * (on - 1) - 4)
        stages[i] = on
    power, pressure = 6.0 * stages + 0.3 * demand, 5.0 + 0.03 * (demand - 35.0 * stages)
    clean = [demand, stages, power, pressure, pressure + 0.08 * demand, 28.0 + 0.1 * demand]
    return np.stack(clean, axis=1) + rng.normal(size=(n, 6)) * [0.8, 0.0, 0.4, 0.08, 0.1, 0.3]


def test_a_relation_that_holds_in_all_conditions_is_kept() -> None:
    streams = [pumping_station(seed) for seed in (1, 2)]
    assert find_conditions(streams, NAMES, "auto").conditions is None


def test_the_tight_distance_sees_a_step_of_a_few_times_the_scatter_beside_the_others() -> None:
    known, fresh = pumping_station(3), pumping_station(4)
    tight, unit = fit_tight_distance([known])
    loose, spread = fit_distance([known], 0, SHRINKAGE)
    assert (unit[[0, 2, 3, 4]] < 0.3 * spread[[0, 2, 3, 4]]).all()
    moved = fresh + 6.0 * unit * [0, 0, 1, 0, 0, 0]
    seen = [
        float((score(moved) > np.quantile(score(fresh), 0.99)).mean()) for score in (tight, loose)
    ]
    assert seen[0] > 0.9 > 0.3 > seen[1]


def test_a_feature_that_follows_no_other_keeps_its_spread() -> None:
    values = np.random.default_rng(5).normal(size=(3000, 3)) * [1.0, 10.0, 0.1]
    _, unit = fit_tight_distance([values])
    np.testing.assert_allclose(unit, [1.0, 10.0, 0.1], rtol=0.1)
