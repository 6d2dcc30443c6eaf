"""Scattered garbage is found and counts as missing; what has a cause is spared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scored import run_series
from models.bundles.serialization import load_model_set, save_model_set
from models.fitting.garbage.cleaning import clean
from models.fitting.garbage.scatter import find_scatter
from models.fitting.model_set_fit import FitReport, fit_model_set
from models.scoring.features.garbage import learn_garbage
from models.scoring.features.missing_runs import LASTING
from models.scoring.model_set import ModelSet
from tests.fixtures.training import TINIEST

Rng = np.random.Generator
Floats = np.ndarray
NAMES = list("abcdef")


def plant(rng: Rng, n: int = 2000, assets: int = 3) -> list[Floats]:
    """Assets with three sensors that follow one load; the first sensor is about 100."""
    out = []
    for _ in range(assets):
        load = np.convolve(rng.normal(size=n + 19), np.ones(20) / np.sqrt(20), "valid")
        out.append(np.array([100.0, 8.0, 60.0]) + load[:, None] * np.array([5.0, 0.3, 2.0])
                   + rng.normal(size=(n, 3)) * np.array([2.0, 0.1, 1.0]))  # fmt: skip
    return out


def found(streams: list[Floats]) -> list[int]:
    return [one.feature for one in find_scatter(streams, learn_garbage(np.concatenate(streams)))]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.4])
@pytest.mark.parametrize("assets", [1, 3])
@pytest.mark.parametrize("begins", [0, 1000])
def test_random_values_at_random_moments_are_found(share: float, assets: int, begins: int) -> None:
    rng = np.random.default_rng(7)
    streams = plant(rng, assets=assets)
    assert found(streams) == []
    here = rng.random(2000) < share
    here[:begins] = False
    streams[0][here, 0] = rng.uniform(-1e6, 1e6, here.sum())
    assert found(streams) == [0]
    one = find_scatter(streams, learn_garbage(np.concatenate(streams)))[0]
    assert not one.mask(streams[0][~here, 0]).any()
    assert one.mask(streams[0][here, 0]).mean() > 0.98


@pytest.mark.parametrize("code", [65535.0, -999.0])
def test_codes_in_bulk_do_not_hide_it_and_are_found_beside_it(code: float) -> None:
    rng = np.random.default_rng(2)
    streams = plant(rng)
    here = rng.random(2000) < 0.1
    streams[0][here, 0] = rng.uniform(-1e6, 1e6, here.sum())
    streams[0][500:700] = code
    assert found(streams) == [0]
    cleaned = clean(streams, None, list("abc"), lambda width: 1)
    assert np.abs(np.concatenate(cleaned.streams)).max() < 1000
    assert sum(map(len, cleaned.streams)) == 3 * 2000 - 200


def bursts(rng: Rng, x: Floats) -> None:
    """Vibration: both ways, but a burst lasts."""
    for at in rng.integers(0, len(x) - 10, 60):
        x[at : at + 5, 0] += rng.uniform(-1e6, 1e6, 5)


def strokes(rng: Rng, x: Floats) -> None:
    """Single pulses of any size, one way."""
    here = rng.random(len(x)) < 0.15
    x[here, 0] += 10 ** rng.normal(5, 1, here.sum())


def modes(rng: Rng, x: Floats) -> None:
    """A direction: backwards, off, forwards."""
    x[:, 0] += rng.choice([-1e6, 0.0, 1e6], len(x), p=[0.1, 0.8, 0.1])


def moves(rng: Rng, x: Floats) -> None:
    """Changes of a position that another feature shows."""
    here = rng.random(len(x)) < 0.15
    steps = np.where(here, rng.uniform(-1e6, 1e6, len(x)), 0.0)
    x[:, 0] += steps
    x[:, 1] += 1e-6 * np.cumsum(steps)


def shocks(rng: Rng, x: Floats) -> None:
    """Shocks both ways in which a neighbour trembles."""
    here = rng.random(len(x)) < 0.15
    x[here, 0] += rng.uniform(-1e6, 1e6, here.sum())
    x[here, 1] += 0.3 * rng.normal(size=here.sum())


def echoes(rng: Rng, x: Floats) -> None:
    """Shocks both ways after which the sensor itself is elsewhere."""
    level = 0.0
    for t in range(len(x)):
        x[t, 0] += level
        if rng.random() < 0.15:
            x[t, 0] += rng.uniform(-1e6, 1e6)
            level = rng.normal(0, 40)


def unit(rng: Rng, x: Floats) -> None:
    """Another unit from half time on."""
    x[len(x) // 2 :, 0] *= 1000


def clockwork(rng: Rng, x: Floats) -> None:
    """Single pulses both ways, of any size, at every 15th reading."""
    x[7::15, 0] += rng.uniform(-1e6, 1e6, len(x[7::15]))


def wider(rng: Rng, x: Floats) -> None:
    """A machine whose readings lie around zero, in a far smaller unit."""
    x[:, 0] = 1e5 * rng.normal(size=len(x))


def wider_later(rng: Rng, x: Floats) -> None:
    """The same from some day on."""
    x[1300:, 0] = 1e5 * rng.normal(size=len(x[1300:]))


def tails(rng: Rng, x: Floats) -> None:
    """Tails as heavy as they come."""
    x[:, 0] += rng.standard_cauchy(len(x)) * np.exp(3 * rng.normal(size=len(x)))


@pytest.mark.parametrize(
    "cause",
    [bursts, strokes, modes, moves, shocks, echoes, unit, clockwork, wider, wider_later, tails],
)
@pytest.mark.parametrize("everywhere", [False, True])
def test_what_has_a_cause_is_spared(cause: Callable[[Rng, Floats], None], everywhere: bool) -> None:
    rng = np.random.default_rng(3)
    streams = plant(rng)
    for stream in streams if everywhere else streams[:1]:
        cause(rng, stream)
    assert found(streams) == []


def scattered(rng: Rng) -> list[Floats]:
    """Three assets with six sensors; one sensor of one of them sends scattered garbage."""
    streams = [np.column_stack([x, rng.normal(size=(2000, 3))]) for x in plant(rng)]
    here = rng.random(2000) < 0.1
    streams[1][here, 0] = rng.uniform(-1e6, 1e6, here.sum())
    return streams


@pytest.fixture(scope="module")
def one_sensor() -> tuple[ModelSet, FitReport, Floats]:
    """A set fitted where one sensor sends scattered garbage, its report, and a whole stream."""
    streams = scattered(np.random.default_rng(5))
    return *fit_model_set(streams, None, NAMES, TINIEST), streams[0]


@pytest.fixture(scope="module")
def two_sensors() -> tuple[ModelSet, Floats]:
    """A set fitted where two sensors send scattered garbage, and a whole stream."""
    rng = np.random.default_rng(5)
    streams = scattered(rng)
    here = rng.random(2000) < 0.1
    streams[2][here, 4] = rng.uniform(-1e6, 1e6, here.sum())
    return fit_model_set(streams, None, NAMES, TINIEST)[0], streams[0]


@pytest.mark.slow
@pytest.mark.parametrize("far", [5000.0, -3e5])
def test_a_sensor_that_stays_beyond_the_bounds_is_a_sensor_fault(
    one_sensor: tuple[ModelSet, FitReport, Floats], far: float
) -> None:
    model_set, _, stream = one_sensor
    live = stream[:200].copy()
    live[60, 0] = live[90:100, 0] = live[120:180, 0] = far
    times = np.datetime64("2026-01-01") + np.arange(200) * np.timedelta64(60, "s")
    faults = [
        run_series(model_set, times, live, NAMES, chunk=chunk).score == 1.0 for chunk in (200, 7, 1)
    ]
    expected = np.zeros(180, bool)  # averages of it last for some readings more
    expected[120 + LASTING :] = True
    for one in faults:
        np.testing.assert_array_equal(one[:180], expected)


@pytest.mark.slow
def test_it_counts_as_missing_in_training_and_live(
    one_sensor: tuple[ModelSet, FitReport, Floats], tmp_path: Path
) -> None:
    model_set, report, stream = one_sensor
    save_model_set(model_set, tmp_path / "set")
    pre = load_model_set(tmp_path / "set").preprocessing
    assert pre.spread[0] < 20
    low, high = pre.beyond["a"]
    assert -1e5 < low < 80 < 120 < high < 1e5
    reading = dict(zip(NAMES, stream[0].tolist(), strict=True))
    assert pre.measured(reading) == reading
    assert pre.measured({**reading, "a": -5e5}) == {k: reading[k] for k in "bcdef"}
    note = next(note for note in report.notes if note.startswith("a: "))
    assert "are no measurements" in note
    assert "count as missing, live as well" in note


@pytest.mark.slow
def test_more_such_values_than_may_be_imputed_are_a_sensor_fault_too(
    two_sensors: tuple[ModelSet, Floats],
) -> None:
    model_set, stream = two_sensors
    assert model_set.preprocessing.beyond.keys() == {"a", "e"}
    live = stream[:100].copy()
    live[50:60, [0, 4]] = 3e5
    times = np.datetime64("2026-01-01") + np.arange(100) * np.timedelta64(60, "s")
    faults = run_series(model_set, times, live, NAMES).score == 1.0
    assert np.flatnonzero(faults).tolist() == list(range(50, 60))


@pytest.mark.slow
def test_the_run_is_the_same_in_all_batches_whatever_else_a_reading_has(
    two_sensors: tuple[ModelSet, Floats],
) -> None:
    """Readings that do not enter the window (two sensors far off at once) count in all batches."""
    model_set, stream = two_sensors
    live = stream[:120].copy()
    live[30:90, 0] = 3e5
    live[35:45, 4] = -3e5
    times = np.datetime64("2026-01-01") + np.arange(120) * np.timedelta64(60, "s")
    faults = [
        run_series(model_set, times, live, NAMES, chunk=chunk).score == 1.0 for chunk in (120, 7, 1)
    ]
    for one in faults:
        np.testing.assert_array_equal(one, faults[0])
    first = 30 + LASTING
    assert np.flatnonzero(faults[0][:90]).tolist() == [*range(35, 45), *range(first, 90)]
