"""A sensor's faults in training are found where slow levels make few events, and nothing else."""

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.faults.event_heights import furthest
from models.fitting.faults.fault_search import find_faults
from models.fitting.faults.few_events import OneSensor

READINGS = 1500


def slow(seed, phi=0.97):
    """Return four features (n, 4) that follow one slow load: some 25 events."""
    random = np.random.default_rng(seed)
    load = lfilter([np.sqrt(1 - phi**2)], [1.0, -phi], random.normal(size=READINGS))
    return load[:, None] * [3.0, -2.0, 1.5, 0.5] + 0.5 * random.normal(size=(READINGS, 4))


def found(values):
    return find_faults([values], 0.15).faults[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lasts", [80, 150])
def test_a_sensor_that_fails_for_a_while_is_found_among_few_events(seed, lasts):
    values = slow(seed)
    values[600 : 600 + lasts, 0] = values[:, 0].mean() - 8 * values[:, 0].std()
    faulty = found(values)
    assert faulty[600 : 600 + lasts].all()
    assert faulty.sum() < lasts + 80


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("phi", [0.97, 0.99, 0.998])
def test_levels_that_wander_lose_nothing(seed, phi):
    assert not found(slow(seed, phi)).any()


@pytest.mark.parametrize("seed", range(3))
def test_what_moves_several_features_may_be_a_mode_and_is_kept(seed):
    values = slow(seed)
    values[600:700] += [6.0, 6.0, -6.0, 6.0]
    assert not found(values).any()


def blamed(values, begins, lasts=30):
    """Return whether the events of a stream (n, d) that begin there count as a sensor's faults."""
    heights = np.zeros(len(values))
    for begin in begins:
        heights[begin : begin + lasts] = 5.0
    events = [(0, begin, begin + lasts) for begin in begins]
    return OneSensor([values], lambda rows: rows).faults(events, [heights], 1.0)


@pytest.mark.parametrize(("times", "rare"), [(1, True), (3, True), (4, False)])
def test_what_a_sensor_does_again_and_again_is_how_it_works(times, rare):
    values = np.random.default_rng(0).normal(size=(READINGS, 3))
    begins = [200 * (i + 1) for i in range(times)]
    for begin in begins:
        values[begin : begin + 30, 1] += 10.0
    assert blamed(values, begins) == [rare] * times
    values[1100:1130, 2] -= 10.0  # another sensor's is judged by itself
    assert blamed(values, [*begins, 1100]) == [*[rare] * times, True]


def test_a_switch_that_is_rarely_on_is_no_fault():
    values = np.random.default_rng(0).normal(size=(READINGS, 3))
    values[:, 0] = 0.0
    values[600:630, 0] = 1.0
    values[600:630, 1:] = 0.0
    assert blamed(values, [600]) == [False]
    values[:, 0] += 0.001 * np.random.default_rng(1).normal(size=READINGS)
    assert blamed(values, [600]) == [True]


def test_few_heights_have_a_wider_tail():
    heights = -np.log1p(-np.arange(200) / 200)  # quantiles of an exponential distribution
    few, many = heights[5::20], heights[1::4]
    assert furthest(few, 0.01) > 1.3 * furthest(many, 0.01) / np.log(5000) * np.log(1000)
