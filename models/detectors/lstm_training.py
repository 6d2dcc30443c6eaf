"""Choose the LSTM autoencoder's training windows and validation windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ends = NDArray[np.int64]

_LEAST_WINDOWS = 500  # an epoch repeats little data up to this number; more would overfit


def epoch_windows(training: int, max_windows: int) -> int:
    """Return the number of windows in an epoch, given ``training`` different ones."""
    return min(training * _times(training), max_windows)


def draw(training: Ends, max_windows: int, random: np.random.Generator) -> Ends:
    """Draw the windows of one epoch: all in random order, but at most ``max_windows``.

    Parameters
    ----------
    training : (n,)
        Rows at which windows end.
    max_windows
        Maximum number of windows in an epoch.
    random
        Draws the order.
    """
    drawn: Ends = np.concatenate(
        [random.permutation(training) for _ in range(_times(len(training)))]
    )
    return drawn[:max_windows]


def _times(training: int) -> int:
    return max(1, _LEAST_WINDOWS // max(1, training))


def split(lengths: list[int], window: int) -> tuple[Ends, Ends]:
    """Choose the rows, over all streams, at which windows for training and validation end.

    Every fifth block of a stream is held out. Single windows would not do, since neighbouring
    windows share all but one reading. The blocks are spread over time, so both sides have drift.
    """
    training, validation = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    offset = 0
    for length in lengths:
        block = max(2 * window, -(-length // 20))
        held_out = np.arange(length) // block % 5 == 2
        ends = np.arange(window - 1, length)
        first, last = held_out[ends - window + 1], held_out[ends]
        training.append(ends[~first & ~last] + offset)
        validation.append(ends[first & last] + offset)
        offset += length
    return np.concatenate(training), np.concatenate(validation)


def thin(ends: Ends, limit: int) -> Ends:
    """Return at most ``limit`` of ``ends``, evenly spaced."""
    return ends[:: -(-len(ends) // max(1, limit)) or 1]
