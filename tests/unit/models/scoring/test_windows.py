"""Which rows a window is made of, whatever restarts it or stays out of it."""

from __future__ import annotations

import numpy as np
import pytest

from models.scoring.windows import WindowIndex

ROWS = np.arange(400.0).reshape(200, 2)


def taken(seed: int, width: int, held: int) -> tuple[WindowIndex, list[list[int]]]:
    """An index and, one by one, the windows that it should have noted."""
    draw = np.random.default_rng(seed)
    index, chain, expected = WindowIndex(held, width), list(range(held)), []
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
    index = WindowIndex(3, 4)
    for row in range(3, 3 + count):
        assert index.take(row, stays=True)
    found = index.cut(ROWS)
    assert found is not None
    assert found.shape == (count, 4, 2)
    assert np.shares_memory(found, ROWS)
    np.testing.assert_array_equal(found[-1], ROWS[count - 1 : count + 3])


def test_a_window_restarted_at_once_is_no_view() -> None:
    index = WindowIndex(2, 2)
    index.take(2, stays=False)
    index.restart()
    index.take(3, stays=True)
    index.take(4, stays=True)
    found = index.cut(ROWS)
    assert found is not None
    np.testing.assert_array_equal(found, ROWS[[[1, 2], [3, 4]]])
