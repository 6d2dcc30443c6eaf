"""Faults that nobody labelled, and operating conditions: neither hides the other."""

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.counter_rates import Rated, with_rates
from models.fitting.options import FitOptions
from models.fitting.usable_data import usable_data

pytestmark = pytest.mark.slow  # searches whole data sets

Plant = Callable[[int], np.ndarray]


def drive(seed: int) -> np.ndarray:
    """(4000, 5) readings of a pump whose speed changes between four levels every 20 readings."""
    random = np.random.default_rng(seed)
    levels = np.repeat(random.choice([9.0, 12.0, 15.0, 18.0], 205), 20)
    speed = lfilter([0.5], [1.0, -0.5], levels)[100:]
    flow, pressure = 10 * speed, speed**2 / 36
    power = flow * pressure / 20
    heat = 40 + lfilter([0.06], [1.0, -0.94], 20 * power)
    values = np.stack([speed, flow, pressure, power, heat], axis=1)
    return values + random.normal(size=values.shape) * [0.05, 1, 0.05, 0.5, 0.3]


def conveyor(seed: int) -> np.ndarray:
    """(4320, 4) readings of a belt that runs on weekdays from 6 to 22 h, with short stops."""
    random = np.random.default_rng(seed)
    hour, weekday = np.arange(4320) % 144 / 6, np.arange(4320) // 144 % 7
    on = (weekday < 5) & (hour >= 6) & (hour < 22)
    for stop in np.flatnonzero(random.random(4320) < 0.01):
        on[stop : stop + random.integers(1, 5)] = False
    load = np.clip(60 + lfilter([5.2], [1.0, -0.9], random.normal(size=4320)), 10, 100) * on
    heat = 25 + lfilter([0.04], [1.0, -0.92], load)
    values = np.stack([1.5 * on, 8 * on + 0.3 * load, heat, (2 + 0.02 * load) * on], axis=1)
    return values + random.normal(size=values.shape) * [0.02, 0.5, 0.3, 0.1]


def used(streams: list[np.ndarray]) -> tuple[list[np.ndarray], bool]:
    """Return the times of the readings that are used, by stream, and whether conditions are."""
    start = np.datetime64(datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None), "us")
    times = [start + np.arange(len(s)) * np.timedelta64(10, "m") for s in streams]
    names = [f"f{j}" for j in range(streams[0].shape[1])]
    left, found, _ = usable_data(Rated(streams, names), times, FitOptions(seed=0))
    assert left.timestamps is not None
    rows = [((t - start) // np.timedelta64(10, "m")).astype(int) for t in left.timestamps]
    return rows, found.conditions is not None


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("make", [drive, conveyor])
def test_two_sensors_that_were_swapped_for_days_are_left_out(make: Plant, seed: int) -> None:
    streams = [make(10 * seed), make(10 * seed + 1)]
    streams[0][1200:1600, [0, 1]] = streams[0][1200:1600, [1, 0]]
    (first, second), conditions = used(streams)
    assert conditions
    # in the conveyor's off hours, where its swap ends, both sensors read 0
    assert np.isin(np.arange(1200, 1600), first).sum() <= 10
    assert len(first) > 0.98 * (len(streams[0]) - 400)
    assert len(second) == len(streams[1])


@pytest.mark.parametrize("make", [drive, conveyor])
def test_a_day_at_unusual_levels_hides_no_conditions(make: Plant) -> None:
    streams = [make(10), make(11)]
    random = np.random.default_rng(0)
    odd = 0.5 * streams[0][2100] + 0.02 * streams[0].std(axis=0) * random.normal(size=(100, 1))
    streams[0][2100:2200] = odd
    (first, _), conditions = used(streams)
    assert conditions
    assert not np.isin(np.arange(2100, 2200), first).any()


@pytest.mark.parametrize("make", [drive, conveyor])
def test_without_faults_nothing_is_left_out(make: Plant) -> None:
    streams = [make(20), make(21)]
    rows, conditions = used(streams)
    assert conditions
    assert [len(one) for one in rows] == [len(s) for s in streams]


@pytest.mark.parametrize("condition", [("heater",), "heater", "speed,heater"])
def test_a_heater_that_was_on_for_days_is_a_condition_if_the_caller_says_so(condition) -> None:
    """It moves alone, and was moved back as a fault: then it had no two levels any more."""
    values = np.column_stack([drive(0), 0.05 * np.random.default_rng(1).normal(size=4000)])
    values[1500:2000, 5] += 5.0
    times = np.datetime64("2026-01-01", "us") + np.arange(4000) * np.timedelta64(600, "s")
    names = ["speed", "flow", "pressure", "power", "heat", "heater"]
    options = FitOptions(condition=condition)
    left, found, _ = usable_data(Rated([values], names), [times], options)
    assert found.conditions is not None
    assert not any(note.startswith("heater: shifts") for note in left.notes)


def test_the_steps_of_a_coarse_counter_are_no_operating_conditions() -> None:
    """Whole kWh every ten minutes are 6 kW apart: eight levels, which the power follows."""
    random = np.random.default_rng(13)
    streams = []
    for _ in range(2):
        swing = lfilter([0.44], [1.0, -0.9], random.normal(size=4000))
        power = 50.0 + 15.0 * np.sin(np.arange(4000) * 2.0 * np.pi / 144.0) + 4.0 * swing
        volt = 230.0 + random.normal(size=4000)
        streams.append(np.column_stack([np.floor(np.cumsum(power / 6.0)), power, volt]))
    times = np.datetime64("2026-01-01", "us") + np.arange(4000) * np.timedelta64(600, "s")
    rated = with_rates(streams, [times, times], ["kwh", "power", "volt"], "auto")
    assert rated.counters is not None
    _, found, _ = usable_data(rated, [times[: len(s)] for s in rated.streams], FitOptions())
    assert found.conditions is None
