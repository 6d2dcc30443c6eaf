"""Which rows a window is made of, whatever restarts it or stays out of it."""

from __future__ import annotations

import numpy as np
import pytest

from models.scoring.readings.window_index import WindowIndex

ROWS = np.arange(400.0).reshape(200, 2)


def holding(held: int, width: int) -> WindowIndex:
    """An index whose window holds so many rows."""
    index = WindowIndex(width)
    for row in range(held):
        index.hold(row)
    return index


def taken(seed: int, width: int, held: int) -> tuple[WindowIndex, list[list[int]]]:
    """An index and, one by one, the windows that it should have noted."""
    draw = np.random.default_rng(seed)
    index, chain, expected = holding(held, width), list(range(held)), []
    for row in range(held, held + 60):
        what = draw.choice(["next", "next", "next", "late", "alone", "restart"])
        if what == "late":
            continue
        if what == "restart" and draw.random() < 0.3:
            index.restart()
            chain = []
        stays = what != "alone"
        full = width > 0 and len(chain) >= width - 1
        if full:
            expected.append([*chain[len(chain) - width + 1 :], row])
        assert index.take(row, stays) == full
        chain += [row] * stays
    return index, expected


@pytest.mark.parametrize("width", [0, 2, 3, 8])
@pytest.mark.parametrize("seed", range(8))
def test_windows_are_those_of_a_list_kept_by_hand(seed: int, width: int) -> None:
    index, expected = taken(seed, width, held=seed)
    found = index.cut(ROWS)
    if not expected:
        assert found is None
        return
    assert found is not None
    np.testing.assert_array_equal(found, ROWS[np.array(expected)])


@pytest.mark.parametrize("count", [1, 5])
def test_consecutive_windows_are_a_view(count: int) -> None:
    index = holding(3, 4)
    for row in range(3, 3 + count):
        assert index.take(row, stays=True)
    found = index.cut(ROWS)
    assert found is not None
    assert found.shape == (count, 4, 2)
    assert np.shares_memory(found, ROWS)
    np.testing.assert_array_equal(found[-1], ROWS[count - 1 : count + 3])


def test_a_window_restarted_at_once_is_no_view() -> None:
    index = holding(2, 2)
    index.take(2, stays=False)
    index.restart()
    index.take(3, stays=True)
    index.take(4, stays=True)
    found = index.cut(ROWS)
    assert found is not None
    np.testing.assert_array_equal(found, ROWS[[[1, 2], [3, 4]]])


def test_lost_readings_are_bridged_by_rows_on_a_straight_line() -> None:
    index = holding(2, 4)
    index.take(2, stays=True, lost=1)
    index.take(7, stays=False)  # scored, but in no later window
    index.take(3, stays=True, lost=2)
    found = index.cut(ROWS)
    assert found is not None
    between = [(ROWS[1] + ROWS[2]) / 2, (2 * ROWS[2] + ROWS[3]) / 3, (ROWS[2] + 2 * ROWS[3]) / 3]
    expected = [
        [ROWS[0], ROWS[1], between[0], ROWS[2]],
        [ROWS[1], between[0], ROWS[2], ROWS[7]],
        [ROWS[2], between[1], between[2], ROWS[3]],
    ]
    np.testing.assert_allclose(found, expected)


def test_where_bridging_would_be_a_whole_window_it_is_cleared() -> None:
    index = holding(3, 4)
    assert not index.take(3, stays=True, lost=4)
    assert not index.take(4, stays=True, lost=1)
    assert index.take(5, stays=True)
    found = index.cut(ROWS)
    assert found is not None
    np.testing.assert_allclose(found, [[ROWS[3], (ROWS[3] + ROWS[4]) / 2, ROWS[4], ROWS[5]]])


def test_one_row_bridged_and_one_left_out_are_no_view() -> None:
    """Counted together the windows would look consecutive."""
    index = holding(4, 4)
    index.take(4, stays=False)
    index.take(5, stays=True, lost=1)
    found = index.cut(ROWS)
    assert found is not None
    np.testing.assert_allclose(found[-1], [ROWS[2], ROWS[3], (ROWS[3] + ROWS[5]) / 2, ROWS[5]])
