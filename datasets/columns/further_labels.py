"""Find features that tell of faults as labels do, since they show what a model is to find.

Data sets name each kind of fault in a column of its own, beside one for any fault: it moves in
readings labelled as faults only. Runs to failure come with the remaining useful life (RUL), which
counts down to the failure, and which nobody knows while a machine runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from datasets.format import quoted
from datasets.sampled_columns import plain_name
from datasets.types import Stream

#: Names, in lower case without punctuation, of the time that is left until a failure.
_LEFT: Final = re.compile(
    "(true|actual|real)?(rul|ttf|remaininguseful(life|cycles)|remaining(life|cycles)|"
    "(time|cycles|hours|days)to(failure|fail|breakdown))(cycles?|days?|hours?|hrs|h|min|s)?"
)
#: Rises, one in so many steps, of what counts down: an estimate rises as often as it falls.
_RISES: Final = 20


def further_labels(names: Sequence[str], streams: Sequence[Stream]) -> list[str]:
    """Return notes on features that are 0 but in labelled faults, and on those that count down.

    Parameters
    ----------
    names : names of the features.
    streams : all streams of a file.
    """
    labelled = [stream for stream in streams if stream.labels is not None]
    normal = any(np.any(stream.labels == 0) for stream in labelled)
    found = [name for j, name in enumerate(names) if normal and _is_label(labelled, j)]
    down = [n for j, n in enumerate(names) if _LEFT.fullmatch(plain_name(n)) and _falls(streams, j)]
    notes = []
    if found:
        notes.append(
            f"{', '.join(found)[:200]}: 0 but in readings labelled as faults: labels too?"
            f" (--exclude {quoted(','.join(found))} leaves them out)"
        )
    if down:
        notes.append(
            f"{', '.join(down)[:200]}: counts down to a failure, of which nobody knows while the"
            f" machine runs: a label? (--exclude {quoted(','.join(down))} leaves it out)"
        )
    return notes


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


def _falls(streams: Sequence[Stream], feature: int) -> bool:
    """Return whether a feature falls, and hardly ever rises: where the next run begins."""
    steps = [np.diff(stream.values[:, feature]) for stream in streams]
    falls = sum(int((step < 0.0).sum()) for step in steps)
    rises = sum(int((step > 0.0).sum()) for step in steps)
    return falls > _RISES * rises
