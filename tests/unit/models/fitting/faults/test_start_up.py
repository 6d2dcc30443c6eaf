"""A start-up is left out of training up to where the stream comes to rest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.faults.start_up import starts_of
from models.fitting.faults.trimming import without_faulty
from models.fitting.garbage.cleaning import clean

COUNT = 3000
NAMES = ["flow", "power", "heat", "level"]


def readings(seed: int) -> np.ndarray:
    """(n, 4) readings that vary by 1; power follows flow."""
    out = lfilter([0.3], [1.0, -0.95], np.random.default_rng(seed).normal(size=(4, COUNT))).T
    out[:, 1] = 0.8 * out[:, 0] + 0.6 * out[:, 1]
    return out + 100.0


def begun(seed: int, lasts: float, size: float = 15.0) -> np.ndarray:
    """The same, from 15 deviations off to rest: a twentieth of it is left after ``lasts``."""
    return readings(seed) + size * np.exp(-3.0 * np.arange(COUNT) / lasts)[:, None] * [1, -1, 1, 1]


def first(mask: np.ndarray) -> int:
    return int(np.append(mask, False).argmin())


@pytest.mark.parametrize("seed", range(5))
def test_a_start_up_is_left_out_up_to_where_it_comes_to_rest(seed: int):
    streams = [begun(2 * seed, 200), begun(2 * seed + 1, 250)]
    faults = [np.arange(COUNT) < 90, np.arange(COUNT) < 110]
    starts = starts_of(streams, faults, 0.15)
    for start, end in zip(starts, (200, 250), strict=True):
        assert 0.6 * end < first(start) < 2 * end
        assert not start[first(start) :].any()


def test_a_stream_that_does_not_come_to_rest_keeps_its_readings():
    """Left out up to where half of the later ones lie, a trend would lose a third of itself."""
    trend = readings(0) + np.linspace(15.0, -15.0, COUNT)[:, None]
    starts = starts_of([trend, readings(1)], [np.arange(COUNT) < 90, np.zeros(COUNT, bool)], 0.15)
    assert not any(start.any() for start in starts)


def test_a_fault_later_on_or_a_spike_at_the_beginning_is_no_start_up():
    later = (np.arange(COUNT) >= 500) & (np.arange(COUNT) < 600)
    spike = np.arange(COUNT) < 2
    starts = starts_of([begun(0, 200), begun(1, 200)], [later, spike], 0.15)
    assert not any(start.any() for start in starts)


def test_training_says_what_it_left_out_as_a_start_up():
    """The end of the approach was trained on: levels seemed to wander, and faults were missed."""
    data = clean([begun(0, 200), begun(1, 250)], None, NAMES)
    kept = without_faulty(data, 0.15)
    for stream, end in zip(kept.streams, (200, 250), strict=True):
        assert 0.6 * end < COUNT - len(stream) < 2 * end
    assert "a start-up (rows 1-" in kept.notes[-1]


def test_clean_training_has_none():
    data = clean([readings(0), readings(1)], None, NAMES)
    kept = without_faulty(data, 0.15)
    assert not kept.notes
    assert [len(stream) for stream in kept.streams] == [COUNT, COUNT]
