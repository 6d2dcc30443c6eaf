"""A code that no list knows is found wherever it comes again; what has a cause is spared."""

from __future__ import annotations

import numpy as np
import pytest

from models.arrays import Bools, Floats
from models.fitting.garbage.cleaning import clean
from models.fitting.garbage.repeated_codes import find_codes
from models.scoring.features.garbage import learn_garbage

CODE = 4095.75


def plant(seed: int, n: int = 2600, features: int = 5) -> Floats:
    """Return readings (n, features) that follow one load, at levels from 10 to 50."""
    rng = np.random.default_rng(seed)
    load = np.convolve(rng.normal(size=n + 39), np.ones(40) / np.sqrt(40), "valid")
    own = rng.normal(size=(n, features))
    return np.round(np.arange(1, features + 1) * (10.0 + load[:, None] + 0.5 * own), 3)


def stretches(seed: int, n: int = 2600) -> Bools:
    """Return some readings (n,) in one to four stretches."""
    rng = np.random.default_rng([seed, 1])
    out = np.zeros(n, bool)
    for _ in range(1 + seed % 4):
        start, length = rng.integers(n - 200), rng.integers(25, 120)
        out[start : start + length] = True
    return out


def codes(*streams: Floats) -> dict[int, set[float]]:
    return find_codes(streams, learn_garbage(np.concatenate(streams)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
def test_a_code_in_bulk_is_found_in_its_sensor(seed: int, share: float) -> None:
    values, other = plant(seed), plant(seed + 100)
    assert codes(values, other) == {}
    values[np.random.default_rng(seed).random(len(values)) < share, 1] = CODE
    assert codes(values, other) == {1: {CODE}}


def test_a_code_that_lasts_is_found_in_its_sensor() -> None:
    """Where it comes a few times, chance lets another sensor tell it now and then."""
    found = 0
    for seed in range(20):
        values = plant(seed)
        values[stretches(seed), 1] = CODE
        found += codes(values) == {1: {CODE}}
    assert found >= 19


@pytest.mark.parametrize("seed", range(8))
def test_a_device_sends_it_on_every_channel(seed: int) -> None:
    values = plant(seed)
    values[stretches(seed)] = CODE
    assert codes(values) == {j: {CODE} for j in range(5)}


@pytest.mark.parametrize("seed", range(8))
def test_what_other_sensors_show_is_a_mode(seed: int) -> None:
    """A gauge reads its upper limit while the machine is off: the others fall, or stand still."""
    there = stretches(seed)
    fallen, still = plant(seed), plant(seed)
    fallen[there, 1] = still[there, 1] = CODE
    fallen[there, 0] -= 5.0
    for begin, end in np.flatnonzero(np.diff(there, prepend=False, append=False)).reshape(-1, 2):
        still[begin:end, [0, 2]] = still[begin, [0, 2]]
    assert codes(fallen) == codes(still) == {}


def test_what_a_code_is_not() -> None:
    rng = np.random.default_rng(0)
    here = rng.random(2600) < 0.05
    level, zero, near, always = (plant(0) for _ in range(4))
    level[here, 1] = CODE + rng.normal(size=here.sum())  # a level scatters
    zero[here, 1] = 0.0
    near[here, 1] = near[:, 1].max() + 0.9 * np.ptp(near[:, 1])
    always[:, 1] = CODE  # it never measured anything else
    for values in (level, zero, near):
        assert codes(values) == {}
    assert codes(always, plant(1), plant(2)) == {}


def test_each_series_is_transformed_once_however_many_sensors_send_codes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = plant(0, features=8)
    values[stretches(0)] = CODE
    transform, lengths = np.fft.rfft, []

    def counted(series: Floats) -> object:
        lengths.append(len(series))
        return transform(series)

    monkeypatch.setattr(np.fft, "rfft", counted)
    assert len(codes(values)) == 8
    assert len(lengths) == 8 + 2 * 8  # where the codes are; what each sensor does, and how it moves


def test_no_readings_have_no_codes() -> None:
    assert codes(np.zeros((0, 3))) == {}


@pytest.mark.parametrize(("features", "missing"), [(5, True), (3, False)])
def test_it_is_missing_or_left_out_and_named(features: int, missing: bool) -> None:
    values = plant(0, features=features)
    here = np.random.default_rng(0).random(len(values)) < 0.03
    values[here, 1] = CODE
    names = [f"s{j}" for j in range(features)]
    cleaned = clean([values], None, names, lambda width: int(width >= 5))
    assert f"s1: 4095.75 is no measurement ({here.sum()} readings" in cleaned.notes[0]
    assert cleaned.nulls == {"s1": (CODE,)}  # a code is none where another sensor measures it
    assert len(cleaned.streams[0]) == len(values) - (0 if missing else here.sum())
    assert cleaned.streams[0][:, 1].max() < 60.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("code", [-15.9, 99.5])
@pytest.mark.parametrize("times", [5, 40])
def test_a_code_not_far_beyond_all_others_is_found_by_its_equal_values(
    seed: int, code: float, times: int
) -> None:
    """It lies a body width or two from the body; single readings passed for a mode that recurs."""
    values = plant(seed)
    assert codes(values) == {}
    values[np.random.default_rng(seed).choice(len(values), times, replace=False), 1] = code
    assert codes(values) == {1: {code}}


def test_codes_at_both_ends_are_found() -> None:
    values = plant(0)
    at = np.random.default_rng(0).choice(len(values), 40, replace=False)
    values[at, 1] = np.resize([-40.5, 99.5], 40)
    assert codes(values) == {1: {-40.5, 99.5}}


def test_a_level_apart_is_no_code_if_it_scatters_or_another_feature_tells_it() -> None:
    random = np.random.default_rng(0)
    values = plant(0)
    at = random.choice(len(values), 40, replace=False)
    values[at, 1] = np.round(99.5 + 0.01 * random.normal(size=40), 3)
    assert codes(values) == {}
    values[at, 1] = 99.5
    values[at, 2] += 30.0
    assert codes(values) == {}


@pytest.mark.parametrize("lasts", [1, 3, 30])
def test_a_value_that_lasts_may_be_where_a_machine_rests(lasts: int) -> None:
    values = plant(0)
    for begin in np.random.default_rng(0).choice(len(values) // 60, 8, replace=False) * 60:
        values[begin : begin + lasts, 1] = 99.5
    assert codes(values) == ({} if lasts == 30 else {1: {99.5}})


def test_zero_and_levels_of_a_rounded_feature_are_no_codes() -> None:
    values = plant(0)
    at = np.random.default_rng(0).choice(len(values), 40, replace=False)
    values[at, 1] = 0.0
    values[:, 2] = np.round(values[:, 2] / 10) * 10
    values[at, 2] = 150.0
    assert codes(values) == {}
