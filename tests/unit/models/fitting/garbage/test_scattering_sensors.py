"""A sensor that only scatters more for a while is an unlabelled fault."""

import numpy as np
import pytest

from models.fitting.faults.event_heights import scattering
from models.fitting.faults.fault_search import find_faults


def machine(seed: int, n: int = 4000) -> np.ndarray:
    """Speed, pressure, current and temperature (n, 4) of a machine that changes its speed."""
    random = np.random.default_rng(seed)
    speed = np.repeat(random.choice([9.0, 12.0, 15.0, 18.0], n // 20), 20)
    heat = np.convolve(speed**2 / 10.0, np.full(40, 1 / 40))[:n]
    exact = np.stack([speed, 2.0 * speed, 0.5 * speed + 3.0, heat], axis=1)
    return exact + random.normal(size=(n, 4)) * [0.1, 0.3, 0.1, 0.5]


@pytest.mark.parametrize("seed", range(3))
def test_it_is_left_out(seed):
    values = machine(seed)
    values[2000:2036, 1] += np.random.default_rng(seed).normal(0.0, 1.5, 36)
    found = find_faults([values], 0.15).faults[0]
    assert found[2000:2036].mean() > 0.8
    assert found.sum() < 120


@pytest.mark.parametrize("seed", range(3))
def test_clean_readings_lose_nothing(seed):
    assert not find_faults([machine(seed)], 0.15).faults[0].any()


def test_far_readings_among_usual_ones_count_and_moved_levels_do_not():
    usual = np.zeros(300)
    noisy, moved, spiked = usual.copy(), usual.copy(), usual.copy()
    noisy[100:130:3] = 1.0
    moved[100:200] = 1.0
    spiked[[0, 100, 120, -1]] = 1.0  # a single far reading at either end counts once, too
    assert scattering(noisy).max() == 1.0
    assert not scattering(moved).any()
    assert not scattering(spiked).any()
    assert np.array_equal(scattering(usual[:2]), [0.0, 0.0])
