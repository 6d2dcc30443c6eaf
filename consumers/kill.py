"""Kill points: a hook between each two steps, so that tests can end the process right there.

In production the hook does nothing; only ``BRIDGE_KILL_POINT=point:count`` arms it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count

Hook = Callable[[str], None]
POINTS = ("before_score", "after_score", "in_commit", "after_commit", "after_publish", "after_ack")


def nothing(point: str) -> None:
    """The hook in production."""


def killer(setting: str) -> Hook:
    """A hook that ends the process with SIGKILL at the n-th passage of a point.

    Raises
    ------
    ValueError
        The setting is not ``point:count`` with a known point.
    """
    point, _, number = setting.partition(":")
    if point not in POINTS or not number.isdigit():
        raise ValueError(f"BRIDGE_KILL_POINT: {setting!r} is not one of {POINTS} and a count")
    passages = count(1)

    def hook(reached: str) -> None:
        if reached == point and next(passages) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    return hook
