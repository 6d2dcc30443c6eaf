"""Choose the windows that the LSTM autoencoder is trained on, and those that are held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ends = NDArray[np.int64]

_LEAST_WINDOWS = 500  # an epoch on little data goes over it several times; more only overfits


def epoch_windows(training: int, max_windows: int) -> int:
    """Return how many windows an epoch has, out of ``training`` different ones."""
    return min(training * _times(training), max_windows)


def draw(training: Ends, max_windows: int, random: np.random.Generator) -> Ends:
    """Draw the windows of one epoch: all, in a new order, but at most so many.

    Parameters
    ----------
    training : (n,)
        The rows that windows end at.
    max_windows
        Windows of an epoch.
    random
        Of the order.
    """
    drawn: Ends = np.concatenate(
        [random.permutation(training) for _ in range(_times(len(training)))]
    )
    return drawn[:max_windows]


def _times(training: int) -> int:
    return max(1, _LEAST_WINDOWS // max(1, training))


def split(lengths: list[int], window: int) -> tuple[Ends, Ends]:
    """Choose the rows, over all streams, at which windows for training and validation end.

    Every fifth block of a stream is held out. Blocks, because shuffled windows that share all
    but one reading would be on both sides; spread, so that drift is in both.
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
