"""Learn how long resting features stayed away in training.

Scored by :mod:`models.scoring.features.stays`. A stay as long as the longest of training is normal,
and so is one up to TIMES_LONGER as long: moves are few. The probability that one of the ``n``
training readings ends a longer one is estimated as ``(1/2) / (n + 1)``, and each further reading is
as probable as the longer stays went on, at least one half: the rule of repeated values
(:mod:`models.fitting.garbage.repeat_rates`). It is multiplied by the number of features watched. A
feature that moved fewer than RECURS times does not show how long its moves last, and one whose
stays fill half of the counted readings leaves no room for longer ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from models.arrays import Floats
from models.fitting.garbage.repeat_rates import RECURS, goes_on
from models.fitting.garbage.runs import lengths
from models.scoring.features.repeats import LENGTH
from models.scoring.features.standing import Standing
from models.scoring.features.stays import Stays, away_from

#: A longer stay than training's counts from this many times its length on.
TIMES_LONGER: Final = 2


def fit_stays(
    streams: Sequence[Floats], standing: Standing, without: Collection[str] = ()
) -> Stays | None:
    """Return the rarity of stays away from the usual value; None if no feature can be watched.

    Parameters
    ----------
    streams : list of (n_i, k)
        Training readings of the features of ``standing``.
    standing
        Their usual values.
    without
        Features that are not watched, since readings hold other values of them: counters.
    """
    usual = np.array(standing.usual)
    away = [away_from(usual, stream) for stream in streams]
    found: dict[int, Floats] = {}
    for j, name in enumerate(standing.names):
        runs = np.sort(np.concatenate([lengths(one[:, j]) for one in away]))
        if len(runs) < RECURS or TIMES_LONGER * runs[-1] >= LENGTH or name in without:
            continue
        beyond = np.arange(1, LENGTH + 1) - int(runs[-1])
        decades = np.log10(2.0 * (standing.readings + 1.0)) - (beyond - 1) * np.log10(goes_on(runs))
        found[j] = np.where(np.arange(1, LENGTH + 1) > TIMES_LONGER * runs[-1], decades, 0.0)
    if not found:
        return None
    rarity = np.maximum(np.stack(list(found.values())) - np.log10(len(found)), 0.0)
    at = list(found)
    return Stays(tuple(standing.names[j] for j in at), usual[at], rarity.round(4))
