"""How often features repeat their value in training, and what is rare then."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.fitting.garbage.repeat_rates import fit_repeats, stuck_readings
from models.scoring.features.repeats import LENGTH, Repeats

N = 2000


def noise(n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def largest(repeats: Repeats, values: np.ndarray) -> float:
    """The largest rarity in readings of one feature (n, 1) that follow one another."""
    found = repeats.found(values)
    return 0.0 if found is None else float(found[0].max())


def rarity(values: np.ndarray) -> np.ndarray:
    found = fit_repeats([values[:, None]])
    assert found is not None
    return found.rarity[0]


def test_a_value_never_repeated_is_rare_from_the_third_on():
    found = rarity(noise())
    assert found[:2].tolist() == [0.0, 0.0]
    once = -math.log10(0.5 / (N + 1))
    assert found[2] == pytest.approx(once + math.log10(2), abs=1e-3)
    assert np.diff(found[2:]) == pytest.approx(math.log10(2), abs=1e-3)  # each as likely as not


def test_a_run_as_long_as_one_of_training_is_normal():
    values = np.round(noise(), 1)
    assert 0.02 < np.mean(values[1:] == values[:-1]) < 0.1
    changes = np.flatnonzero(np.diff(values) != 0.0)
    longest = int(np.diff(changes).max())
    assert longest >= 3
    found = rarity(values)
    assert found[:longest].max() == 0.0
    assert found[longest] > 3.0


def test_any_of_many_features_may_repeat():
    many = fit_repeats([np.random.default_rng(0).normal(size=(N, 10))])
    assert many is not None
    assert rarity(noise())[5] - many.rarity[0, 5] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("values", [np.round(noise() * 2), np.repeat(noise(N // 4), 4)])
def test_a_feature_that_repeats_its_value_often_is_not_watched(values: np.ndarray):
    assert fit_repeats([values[:, None]]) is None


def test_a_machine_that_is_off_now_and_then_is_watched_while_on():
    values = noise() + 8.0
    for start in (200, 700, 1200, 1700):
        values[start : start + 60] = 0.0
    found = fit_repeats([values[:, None]])
    assert found is not None
    assert found.usual[2].tolist() == [0.0]
    assert found.rarity[0, 5] > 3.0
    live = noise(40)[:, None] + 8.0
    live[10:] = 0.0
    assert largest(found, live) == 0.0
    live[10:] = 7.5
    assert largest(found, live) > 3.0


def test_a_machine_seen_off_once_is_no_sensor_stuck_once():
    values = np.column_stack([noise(), noise(seed=1), noise(seed=2)]) + 8.0
    values[600:700] = 0.0
    found = fit_repeats([values])
    assert found is not None
    assert found.usual[2].tolist() == [0.0] * 3
    assert found.rarity[:, 5].min() > 3.0
    alone = fit_repeats([values[:, :1]])
    assert alone is not None
    assert alone.usual[2].tolist() == [0.0]


def test_one_long_run_may_be_a_fault_and_runs_that_recur_are_normal():
    once, often = np.column_stack([noise(), noise(seed=1)]), noise()
    once[300:360, 0] = once[300, 0]
    for start in (300, 900, 1500):
        often[start : start + 60] = often[start]
    found, usual = fit_repeats([once]), rarity(noise())
    assert found is not None
    assert found.rarity[0, 5] == pytest.approx(usual[5] - math.log10(2), abs=0.1)
    assert fit_repeats([often[:, None]]) is None


def test_a_single_short_run_is_normal_as_where_a_gateway_sends_again():
    values = np.column_stack([noise(), noise(seed=1), noise(seed=2)])
    values[300:306] = values[300]
    values[900:906, 0] = values[900, 0]
    found = fit_repeats([values])
    assert found is not None
    assert found.rarity[:, :6].max() == 0.0
    assert found.rarity[:, 6].min() > 2.5


def test_a_feature_that_stands_still_for_a_tenth_of_training_is_not_watched():
    values = np.column_stack([noise(), noise(seed=1)])
    values[300:600, 0] = 0.5
    found = fit_repeats([values])
    assert found is not None
    assert found.watched.tolist() == [1]


def test_sensors_may_saturate_at_both_ends_of_their_range():
    def slow(n: int, seed: int) -> np.ndarray:
        values = noise(n, seed)
        for i in range(1, n):
            values[i] = 0.95 * values[i - 1] + 0.3 * values[i]
        return np.clip(values, -2.0, 2.0)[:, None]

    found = fit_repeats([slow(N, 1)])
    assert found is not None
    live = slow(6000, 2)
    assert np.mean(np.abs(live) == 2.0) > 0.02
    assert largest(found, live) == 0.0
    live[100:130] = 0.5
    assert largest(found, live) > 3.0


def test_usual_values_may_be_rounded_to_single_precision():
    values = noise() + 8.0
    for start in (200, 700, 1200, 1700):
        values[start : start + 60] = 4.01
    found = fit_repeats([values[:, None].astype(np.float32).astype(np.float64)])
    assert found is not None
    assert largest(found, np.full((40, 1), 4.01)) == 0.0


def test_runs_end_with_a_stream():
    values = np.full(4, 5.0)
    both = fit_repeats([np.concatenate([noise(), values])[:, None]] * 2)
    assert both is not None
    lengths = both.found(np.tile(values, 2)[:, None], [0, 4])
    assert lengths is None or lengths[1].max() == 4


def test_runs_longer_than_are_counted_are_as_those():
    repeats = fit_repeats([noise()[:, None]])
    assert repeats is not None
    found = repeats.found(np.ones((LENGTH + 20, 1)))
    assert found is not None
    rare, lengths = found
    assert lengths.max() == LENGTH
    assert rare[-1, 0] == repeats.rarity[0, -1]


def test_readings_of_stuck_sensors_are_found_and_those_of_machines_at_rest_are_not():
    values = np.column_stack([noise(seed=k) for k in range(6)])
    for begin in (500, 900, 1300):  # three stretches, each at another value
        values[begin : begin + 40, 0] = values[begin, 0]
    values[700:760, 1] = 0.0  # off
    values[700:760, 2] = values[:, 2].max()  # saturated
    for begin in (300, 1500):  # comes back to the value
        values[begin : begin + 50, 3] = 0.25
    values[200:240, 4] = values[200, 4]
    values[220:225, 4] = np.nan  # a hole ends the run
    (found,) = stuck_readings([values])
    at = [np.flatnonzero(found[:, j]).tolist() for j in range(6)]
    assert at[0] == [*range(501, 540), *range(901, 940), *range(1301, 1340)]
    assert not any(at[1:])


def test_a_gateway_that_repeats_all_values_is_no_stuck_sensor():
    values = np.column_stack([noise(seed=k) for k in range(4)])
    values[500:560] = values[500]
    (found,) = stuck_readings([values])
    assert not found.any()
