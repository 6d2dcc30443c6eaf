"""A settled level in several operating conditions."""

import numpy as np

from models.scoring.features.level_offsets import LevelOffsets, unmixed

MIX = np.array([[1.2, 0.4], [0.4, 1.5]])


def test_an_offset_is_multiplied_as_distances_of_its_reading_are() -> None:
    gain = np.array([[1.0, 1.0], [5.0, 1.0]])
    level = np.array([2.0, 3.0]) @ MIX
    rows = LevelOffsets(MIX, gain).of(level)
    np.testing.assert_allclose(unmixed(rows, MIX), [[2.0, 3.0], [10.0, 3.0]])
    np.testing.assert_allclose(LevelOffsets(None, gain).of(level), gain * level)


def test_the_usual_condition_and_back() -> None:
    offsets = LevelOffsets(MIX, np.random.default_rng(0).uniform(0.2, 5.0, size=(7, 2)))
    level = np.array([0.7, -4.0])
    rows = offsets.of(level)
    np.testing.assert_allclose(offsets.usual(rows), np.tile(level, (7, 1)))
    np.testing.assert_allclose(offsets.usual(rows[3], 3), level)


def test_with_one_condition_levels_are_as_they_are() -> None:
    level = np.array([0.7, -4.0])
    assert LevelOffsets(MIX, None).of(level) is level
    assert LevelOffsets(MIX, None).usual(level, 0) is level
