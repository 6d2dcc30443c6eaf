"""How long a failure makes a receiver wait."""

from __future__ import annotations

import pytest

from notify.delivery import CHANGE_WAITS, RECEIVER_WAITS, back_off


@pytest.mark.parametrize("waits", [CHANGE_WAITS, RECEIVER_WAITS])
def test_waits_double_up_to_the_longest(waits: tuple[float, float]) -> None:
    first, longest = waits
    for tries in (0, 1, 3, 20, 10**6):
        expected = min(longest, first * 2.0 ** min(tries, 20))
        found = [back_off(tries, waits) for _ in range(50)]
        assert all(expected / 2 <= one <= expected for one in found)
        assert len(set(found)) > 1  # senders that failed together do not come back together
