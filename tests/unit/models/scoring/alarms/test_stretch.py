"""Whether readings after a shift agree on a level, and on which."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.scoring.alarms.stretch import PARTS, Stretch
from models.scoring.state_values import pack

AFTER = 200
PART = AFTER // PARTS


@pytest.mark.parametrize(("moves", "settles"), [(0.0, True), (0.005, True), (0.03, False)])
def test_what_went_far_settles_though_it_comes_back_by_a_hairs_breadth(
    moves: float, settles: bool
) -> None:
    """A level 300 sd off that moves by 1.5 sd an hour is a level; at 9 it is on its way."""
    noise = np.random.default_rng(0).normal(0, 0.3, size=(AFTER, 3))
    rows = noise + np.where(np.arange(AFTER) < AFTER // 2, 300.0, 300.0 * (1 - moves))[:, None]
    stretch = Stretch()
    levels = [stretch.take(row, True, PART, np.zeros(3)) for row in rows]
    assert all(level is None for level in levels[:-1])
    assert (levels[-1] is not None) == settles


@pytest.mark.parametrize("before", range(0, AFTER, 17))
def test_it_settles_as_soon_after_any_way_to_its_level(before: int) -> None:
    """A fault of some readings, then another level for good: a quarter longer at most."""
    rows = np.random.default_rng(1).normal(size=(before + 2 * AFTER, 3))
    rows[:before] += 40.0
    rows[before:] -= 40.0
    stretch, former = Stretch(), np.zeros(3)
    levels = [stretch.take(row, True, PART, former) for row in rows]
    settled = next(i for i, level in enumerate(levels) if level is not None) + 1
    assert before + AFTER <= settled < before + AFTER + PART
    assert levels[settled - 1] == pytest.approx(np.full(3, -40.0), abs=0.3)


def test_its_level_is_where_the_stream_is_now() -> None:
    """One sensor is off for good; another, which was further off, has just come nearer."""
    rows = np.random.default_rng(4).normal([0.0, 5.0, -300.0], size=(AFTER, 3))
    rows[: AFTER // 2, 1] += np.linspace(30.0, 0.0, AFTER // 2)
    stretch = Stretch()
    level = [stretch.take(row, True, PART, np.zeros(3)) for row in rows][-1]
    assert level is not None
    assert level[0] == 0.0, "it has surely not moved"
    assert level[1] == pytest.approx(rows[AFTER // 2 :, 1].mean(), abs=1e-6)
    assert level[2] == pytest.approx(rows[:, 2].mean(), abs=1e-4), "all say where it is"


def test_a_feature_that_wanders_keeps_its_level() -> None:
    """Where it happened to be while another settled, it would not be afterwards."""
    rows = np.random.default_rng(5).normal([0.0, 40.0, 0.0], size=(AFTER, 3))
    rows[:, 0] += 0.8 * np.sin(np.arange(AFTER) / AFTER * 2.0 * np.pi + np.pi / 4.0)
    mix = np.array([[1.2, 0.5, 0.0], [0.5, 1.2, 0.0], [0.0, 0.0, 1.0]])
    stretch = Stretch()
    level = [stretch.take(row @ mix, True, PART, np.zeros(3), mix) for row in rows][-1]
    assert level is not None
    moved = np.linalg.solve(mix, level)
    assert moved == pytest.approx([0.0, 40.0, 0.0], abs=0.3)
    assert moved[0] == pytest.approx(0.0, abs=1e-5)


def test_the_deviation_is_that_of_the_newer_half() -> None:
    """Two from where the stream was, or it may be chance."""
    rng = np.random.default_rng(2)
    for by, settles in ((2.4, True), (1.6, False)):
        rows = rng.normal(by, 1.0, size=(AFTER, 1))
        rows[: AFTER // 2] = by  # whatever the older half did
        stretch = Stretch()
        found = [stretch.take(row, True, PART, np.zeros(1)) for row in rows]
        assert (found[-1] is not None) == settles


def test_imputed_values_do_not_blur_a_level() -> None:
    random = np.random.default_rng(5)
    mix = np.array([[1.2, -0.4], [-0.4, 1.2]])
    stretch, found = Stretch(), []
    for i, row in enumerate(random.normal([10.0, 0.0], 0.1, size=(PARTS * 100, 2))):
        lacking = [0] if i % 3 == 2 else []
        row[lacking] = 0.0  # as at the former level
        found.append(stretch.take(row @ mix, True, 100, np.zeros(2), mix, lacking))
    assert found[-1] is not None
    np.testing.assert_allclose(found[-1], np.array([10.0, 0.0]) @ mix, atol=0.05)


def test_a_feature_that_was_never_measured_keeps_its_former_level() -> None:
    rows = np.random.default_rng(6).normal([10.0, 2.0], 0.1, size=(PARTS * 100, 2))
    stretch, former = Stretch(), np.array([0.0, 0.5])
    *_, found = [stretch.take(row, True, 100, former, None, [1]) for row in rows]
    assert found is not None
    np.testing.assert_allclose(found, [10.0, 0.5], atol=0.05)


def test_what_grows_evenly_never_settles() -> None:
    stretch = Stretch()
    rows = np.arange(1, 20 * AFTER)[:, None] * np.full((1, 3), 0.01)
    assert all(stretch.take(row, True, PART, np.zeros(3)) is None for row in rows)


def test_a_stretch_of_an_earlier_service_goes_on() -> None:
    """It ended with the mean of the half before, and counted the readings of a half."""
    sums, mean = (pack(np.full(2, by, np.float32), "<f4") for by in (700.0, 10.0))
    for newest in (None, mean):
        stretch = Stretch.from_list([70, 90, 0.0, sums, newest], 2)
        rows = np.random.default_rng(3).normal(10.0, 0.1, size=(AFTER, 2))
        levels = [stretch.take(row, True, PART, np.zeros(2)) for row in rows]
        (level,) = [level for level in levels if level is not None][:1]
        assert level == pytest.approx([10.0, 10.0], abs=0.1)


@pytest.mark.parametrize("half", ["", "AAAA", 7])
def test_a_stretch_that_no_service_gave_out_is_refused(half: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Stretch.from_list([3, 1, 0.5, half, None], 2)
    with pytest.raises((ValueError, TypeError)):
        Stretch.from_list([3, 1, 0.5, None, half, [half], 0.0], 2)
