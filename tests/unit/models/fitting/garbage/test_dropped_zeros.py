"""Zeros sent where nothing was measured are found; those of machines and valves are spared."""

from __future__ import annotations

import numpy as np
import pytest

from models.arrays import Bools, Floats
from models.fitting.garbage.cleaning import clean
from models.fitting.garbage.dropped_zeros import dropped_zeros

N = 3000


def plant(seed: int) -> tuple[Floats, np.random.Generator]:
    """Return pressure, temperature and flow (n, 3), which follow one load loosely."""
    rng = np.random.default_rng(seed)
    load = np.convolve(rng.normal(size=N + 39), np.ones(40) / np.sqrt(40), "valid")
    own = rng.normal(size=(N, 3))
    return np.array([1125.0, 60.0, 40.0]) + np.array([80.0, 3.0, 4.0]) * (
        0.6 * load[:, None] + 0.8 * own
    ), rng


def stretches(rng: np.random.Generator) -> Bools:
    """Return some readings (n,) in twelve stretches."""
    out = np.zeros(N, bool)
    for _ in range(12):
        start = rng.integers(N - 60)
        out[start : start + rng.integers(5, 60)] = True
    return out


@pytest.mark.parametrize("share", [0.004, 0.03, 0.1])
def test_zeros_that_come_by_chance_are_found(share: float) -> None:
    """By chance another sensor tells when they come, once in a hundred times or so."""
    found = 0
    for seed in range(12):
        values, rng = plant(seed)
        assert dropped_zeros([values]) == []
        values[rng.random(N) < share, 0] = 0.0
        found += dropped_zeros([values, plant(seed + 50)[0]]) == [0]
    assert found >= 11


def test_zeros_that_last_are_found_if_they_are_few_and_far() -> None:
    """A valve that is closed at times, at 40 to 60 else, is not taken for a sensor that fails."""
    found = [0, 0, 0]
    for seed in range(12):
        values, rng = plant(seed)
        near = values.copy()
        there = stretches(rng)
        values[:, 0] = 1000.0 + values[:, 0] / 20
        near[there, 0] = values[there, 0] = 0.0
        found[0] += dropped_zeros([near]) == [0]
        found[1] += dropped_zeros([values]) == [0]
        values[stretches(rng), 0] = 0.0
        found[2] += dropped_zeros([values]) == [0]
    assert found[0] == 0
    assert found[1] >= 11
    assert found[2] == 0  # a quarter of the readings is a way to operate


@pytest.mark.parametrize("seed", range(6))
def test_zeros_of_a_machine_that_is_off_are_spared(seed: int) -> None:
    values, rng = plant(seed)
    off, single = stretches(rng), rng.random(N) < 0.05
    both, cooler, moments, once = (values.copy() for _ in range(4))
    both[off, 0] = both[off, 2] = 0.0
    cooler[off, 0] = 0.0
    cooler[off, 1] -= 9.0
    moments[single, 0] = moments[single, 2] = 0.0
    once[500:700, 0] = 0.0
    assert dropped_zeros([both]) == dropped_zeros([cooler]) == []
    assert dropped_zeros([moments]) == []
    assert dropped_zeros([once]) == []


def test_zeros_near_other_values_or_of_the_only_feature_are_spared() -> None:
    values, rng = plant(0)
    values[rng.random(N) < 0.05, 0] = 0.0
    near = values.copy()
    near[:, 0] -= np.where(near[:, 0] == 0, 0.0, 900.0)
    assert dropped_zeros([near]) == []
    assert dropped_zeros([values[:, :1]]) == []
    assert dropped_zeros([np.c_[values[:, 0], np.ones(N)]]) == []  # nothing else varies


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_readings_hold_none(rows: int) -> None:
    """A stream of which nothing is left must not end a training in NumPy's words."""
    assert dropped_zeros([np.zeros((rows, 3))]) == []
    assert dropped_zeros([np.zeros((0, 3)), np.zeros((rows, 3))]) == []


def test_they_count_as_missing_however_rare_they_are() -> None:
    values, rng = plant(3)
    at = np.sort(rng.choice(N, 8, replace=False))
    values[at, 0] = 0.0
    done = clean([values], None, ["p", "t", "f"], lambda width: 1)
    assert done.nulls == {"p": (0.0,)}
    assert sum(map(len, done.streams)) == N
    assert any(note.startswith("p: 0 is no measurement (8 readings") for note in done.notes)
    assert clean([values], None, ["p", "t", "f"]).nulls == {}  # left out: nothing is imputed
