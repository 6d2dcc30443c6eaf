"""Values that no sensor measured are found; values that a plant does send are not."""

from __future__ import annotations

import numpy as np
import pytest

from models.scoring.features.garbage import Garbage, describe, learn_garbage, named, row_ranges


def find_garbage(values: np.ndarray) -> np.ndarray:
    """Which of ``values`` (n, d) are garbage, judged by themselves, as training judges them."""
    return learn_garbage(values).mask(values)


def plant(n: int = 3000, seed: int = 0) -> np.ndarray:
    """Three sensors (n, 3) that follow one load."""
    random = np.random.default_rng(seed)
    load = 0.9 * np.sin(np.arange(n) / 300)[:, None]
    return np.array([2.0, 60.0, 30.0]) + np.array([0.3, 4, 2]) * (
        load + random.normal(size=(n, 3)) * 0.2
    )


@pytest.mark.parametrize(
    "value", [65535, 4294967295, -999, -9999, 32767, -32768, 99999, 1e5, -4000.5, 3.40282e38, -1e31]
)
@pytest.mark.parametrize("readings", [1, 12, 29])
def test_a_few_garbage_values_are_found_and_nothing_else(value: float, readings: int) -> None:
    values = plant()
    values[1234 : 1234 + readings, 0] = value
    found = find_garbage(values)
    assert found[1234 : 1234 + readings, 0].all()
    assert found.sum() == readings


@pytest.mark.parametrize("share", [0.02, 0.2, 0.45, 0.7, 0.95])
@pytest.mark.parametrize("value", [-999, -200, -9999, 65535, 327.67, -3276.8, 6553.5])
def test_codes_in_bulk_are_found(value: float, share: float) -> None:
    values = plant()
    hit = np.random.default_rng(1).random(3000) < share
    values[hit, 1] = value
    np.testing.assert_array_equal(find_garbage(values)[:, 1], hit)


def test_a_device_that_fails_sends_its_code_in_every_channel() -> None:
    values = np.column_stack([plant(), np.random.default_rng(2).normal(500, 400, 3000)])
    values[500:700] = -200  # well inside ten widths of the last column
    values[900, 3] = values[:, 3].min() - 1  # an honest extreme
    found = find_garbage(values)
    assert found[500:700, :3].all()
    assert not found[900].any()
    low = np.delete(values[:, 3], np.s_[500:700]).min()
    assert found[500:700, 3].all() == (low > -200)


def test_several_kinds_do_not_hide_behind_one_another() -> None:
    values = plant()
    values[[5, 50, 500, 505, 2000], 0] = [-999, -9999, 65535, 3.4e38, 1e12]
    assert np.flatnonzero(find_garbage(values)[:, 0]).tolist() == [5, 50, 500, 505, 2000]


@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_a_plant_sends_is_garbage(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 2000
    columns = {
        "normal": random.normal(size=n),
        "bursts": np.where(random.random(n) < 0.02, random.lognormal(10, 2, n), 0.0),
        "lognormal": random.lognormal(0, 1, n),
        "student 3": random.standard_t(3, n),
        "rotating or off": np.where(random.random(n) < 0.3, 0.0, random.normal(1500, 2, n)),
        "seldom off": np.where(random.random(n) < 0.003, 0.0, random.normal(1500, 2, n)),
        "idle or full": np.where(random.random(n) < 0.005, 300.0, random.normal(1500, 1, n)),
        "running": (random.random(n) < 0.5).astype(float),
        "seldom running": (random.random(n) < 0.001).astype(float),
        "raw open or shut": np.where(random.random(n) < 0.4, 65535.0, 0.0),
        "counter": 12_000 + np.arange(n) / 60,
        "raw 16 bit": random.integers(0, 65536, n).astype(float),
        "pressure near 1000": np.round(random.normal(1000, 0.3, n)),
        "level shift": np.where(np.arange(n) < 1700, 0.1, 1000) + random.normal(size=n) / 1000,
        "direction": random.integers(-1, 2, n).astype(float),
        "constant": np.full(n, 9999.0),
        "step of 30 sd": random.normal(size=n) + 30 * (np.arange(n) > 1900),
        "percent": np.clip(random.normal(90, 20, n), 0, 100),
        "nothing": np.full(n, np.nan),
        "one value": np.where(np.arange(n) == 3, 7.0, np.nan),
    }
    found = find_garbage(np.column_stack(list(columns.values())))
    assert {name: k for name, k in zip(columns, found.sum(axis=0), strict=True) if k} == {}


def test_what_was_learnt_judges_later_readings() -> None:
    garbage = learn_garbage(plant())
    again = Garbage.from_dict(garbage.to_dict())
    later = np.array([[2.0, 60, 30], [65535, 60, 30], [-9999, -9999, -9999], [0, np.nan, 1e300]])
    expected = [[0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1]]
    for one in (garbage, again):
        assert one.mask(later).astype(int).tolist() == expected


def test_a_code_seen_in_training_is_garbage_later_wherever_it_lies() -> None:
    values = plant()
    values[::7, 1] = -200
    assert learn_garbage(values).mask(np.array([[2.0, -200, 30]])).tolist() == [
        [False, True, False]
    ]


def test_the_input_is_left_alone() -> None:
    values = plant()
    values[3, 0] = 65535
    before = values.copy()
    find_garbage(values)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (2, 1), (5, 0)])
def test_little_or_nothing_is_no_trouble(shape: tuple[int, int]) -> None:
    assert not find_garbage(np.ones(shape)).any()


def test_the_sentence_names_value_column_and_rows() -> None:
    values = plant()
    values[1234:1246, 0] = -999
    notes = describe(values, find_garbage(values), ["vib", "temp", "flow"])
    assert notes == ["vib: -999 is no measurement (12 readings, rows 1235-1246)"]


def test_rows_are_shown_as_stretches() -> None:
    assert row_ranges([7]) == "7"
    every_second = np.arange(1, 99, 2)  # rows of one asset, which alternate with another's
    assert row_ranges([5, 7, 9, 11, 21], every_second) == "5-11, 21"
    assert row_ranges([9, 1, 2, 3, 3]) == "1-3, 9"
    assert row_ranges([1, 3, 5, 7, 9, 11, 12, 13]) == "1, 3, 5, 7, 9 and 3 more"


@pytest.mark.parametrize(
    ("value", "text"),
    [(7777777.0, "7777777"), (2147483647.0, "2147483647"), (4095.7503, "4095.7503"),
     (-999.0, "-999"), (3.4028234663852886e38, "3.40282e+38"), (112.18639543405258, "112.186")],
)  # fmt: skip
def test_a_note_gives_a_code_as_the_file_has_it(value: float, text: str) -> None:
    assert named(value) == text
