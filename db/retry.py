"""Retry work that failed because of contention."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from errors import StorageUnavailable

T = TypeVar("T")


def retried(work: Callable[[], T], *, tries: int = 8, first_wait_s: float = 0.1) -> T:
    """Return ``work()``; retry after StorageUnavailable with growing, jittered waits.

    Parameters
    ----------
    work : callable
    tries : int
        Maximum number of calls.
    first_wait_s : float
        Mean seconds before the second call; each further wait is twice as long.

    Raises
    ------
    StorageUnavailable
        Raised by the last call.
    """
    for attempt in range(tries - 1):
        try:
            return work()
        except StorageUnavailable:
            time.sleep(first_wait_s * 2**attempt * random.uniform(0.5, 1.5))
    return work()
