"""The values of a coarsely rounded measurement are told from the levels a machine runs at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.operation.condition_fit import find_conditions, ranges
from models.fitting.operation.rounded_ranges import without_rounding

COUNT = 4000


def measured(seed: int, of: np.ndarray) -> np.ndarray:
    """(n, 3) readings of features that follow ``of``, or do not."""
    rng = np.random.default_rng([seed, 1])
    rest = lfilter([0.3], [1.0, -0.95], rng.normal(size=COUNT))
    follows = 20.0 + 0.3 * of + rng.normal(0.0, 0.3, COUNT)
    return np.column_stack([follows, 0.002 * of**2 + rng.normal(0.0, 0.2, COUNT), 230.0 + rest])


def wandering(seed: int) -> np.ndarray:
    """(n,) a load that takes every value between its ends."""
    rng = np.random.default_rng([seed, 2])
    walk = lfilter([1.75], [1.0, -0.9], rng.normal(size=COUNT))
    return 50.0 + 15.0 * np.sin(np.arange(COUNT) / 23.0) + walk


def held(seed: int, levels: Sequence[float], steps: bool = False) -> np.ndarray:
    """(n,) levels, each held for some readings; ``steps``: each is beside the one before."""
    rng = np.random.default_rng([seed, 3])
    at = 0
    parts: list[np.ndarray] = []
    while len(parts) < COUNT // 3:
        parts.append(np.full(rng.integers(3, 30), levels[at]))
        move = int(rng.choice([-1, 1])) if steps else int(rng.integers(-9, 10))
        at = int(np.clip(at + move, 0, len(levels) - 1))
    return np.concatenate(parts)[:COUNT]


def rounded(of: np.ndarray, step: float) -> np.ndarray:
    return np.round(of / step) * step


def left(indicator: np.ndarray, others: np.ndarray) -> int:
    """Number of ranges of an indicator that others confirm."""
    values = np.column_stack([indicator, others])
    return len(without_rounding([ranges(column) for column in values.T], values)[0])


@pytest.mark.parametrize("step", [5.0, 8.0, 12.0])
@pytest.mark.parametrize("seed", range(3))
def test_values_of_a_rounded_measurement_are_one_range(step: float, seed: int):
    load = wandering(seed)
    assert len(ranges(rounded(load, step))) > 3
    assert left(rounded(load, step), measured(seed, load)) == 1


def test_another_rounded_measurement_of_the_same_confirms_nothing():
    load = wandering(0)
    others = measured(0, load)
    others[:, 0] = rounded(load + 1.0, 8.0)
    assert left(rounded(load, 8.0), others) == 1


@pytest.mark.parametrize("count", [3, 4, 8])
@pytest.mark.parametrize("steps", [False, True])
def test_set_points_and_gears_keep_their_ranges(count: int, steps: bool):
    level = held(count, (np.arange(count) * 80.0 / count + 10.0).tolist(), steps)
    assert left(level, measured(0, level)) == count


def test_a_measurement_around_set_points_keeps_the_gaps_between_these():
    rng = np.random.default_rng(5)
    load = held(0, [20.0, 60.0, 100.0]) + lfilter([3.6], [1.0, -0.8], rng.normal(size=COUNT))
    assert len(ranges(rounded(load, 10.0))) > 6
    assert left(rounded(load, 10.0), measured(0, load)) == 3


def test_a_switch_and_uneven_levels_are_no_rounding():
    load = wandering(0)
    for edges in ([50.0], [40.0, 50.0, 55.0]):
        level = np.array([0.0, 1.0, 2.5, 6.1])[np.searchsorted(edges, load)]
        assert left(level, measured(0, load)) == len(edges) + 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_rounded_measurement_tells_no_operating_conditions(seed: int):
    """Nine of its values passed for conditions: false alarms, and faults of others were missed."""
    streams = []
    for asset in (0, 1):
        load = wandering(20 + seed + 100 * asset)
        others = measured(20 + seed + 100 * asset, load)
        streams.append(np.column_stack([others[:, [0, 2]], rounded(load, 5.0)]))
    assert find_conditions(streams, ["current", "volt", "power"], "auto").conditions is None
