"""Find features that are labels too: they move in readings labelled as faults only.

Data sets name each kind of fault in a column of its own, beside one for any fault. Used as
features, such columns show the faults that a model is to find.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datasets.format import quoted
from datasets.types import Stream


def further_labels(names: Sequence[str], streams: Sequence[Stream]) -> list[str]:
    """Return a note that names the features that are whole numbers, and 0 but in labelled faults.

    Parameters
    ----------
    names : names of the features.
    streams : all streams of a file.
    """
    labelled = [stream for stream in streams if stream.labels is not None]
    normal = any(np.any(stream.labels == 0) for stream in labelled)
    found = [name for j, name in enumerate(names) if normal and _is_label(labelled, j)]
    if not found:
        return []
    shown = ", ".join(found)
    return [
        f"{shown[:200]}: 0 but in readings labelled as faults: labels too? (--exclude"
        f" {quoted(','.join(found))} leaves them out)"
    ]


def _is_label(streams: Sequence[Stream], feature: int) -> bool:
    """Return whether a feature, by its index, is a label too."""
    moves = False
    for stream in streams:
        values = np.nan_to_num(stream.values[:, feature])
        faulty = stream.labels == 1
        if values[~faulty].any() or (values[faulty] % 1).any():
            return False
        moves |= bool(values[faulty].any())
    return moves
