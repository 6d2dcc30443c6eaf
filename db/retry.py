"""Trying again what failed because others were at it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from errors import StorageUnavailable

T = TypeVar("T")


def retried(work: Callable[[], T], *, tries: int = 8, first_wait_s: float = 0.1) -> T:
    """Return ``work()``, tried again after StorageUnavailable with growing, jittered waits.

    Parameters
    ----------
    work : callable
    tries : int
        Calls at most.
    first_wait_s : float
        Mean seconds before the second try; each further wait is twice as long.

    Raises
    ------
    StorageUnavailable
        The last try's.
    """
    for attempt in range(tries - 1):
        try:
            return work()
        except StorageUnavailable:
            time.sleep(first_wait_s * 2**attempt * random.uniform(0.5, 1.5))
    return work()
