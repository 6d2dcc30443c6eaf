"""What a feature should have read, given where its stream has been and what the others read.

Readings around the stream's level are taken as jointly normal with the correlation that
preprocessing decorrelates by; a feature's expected value is its mean given the trusted ones
(Anderson: An Introduction to Multivariate Statistical Analysis, 2.5).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: A single trusted value counts as at most so many of its scales away from the level.
_MOST: Final = 4.0


def expected(z: Floats, mix: Floats | None, trusted: Bools) -> Floats:
    """Conditional means (d,) of scaled deviations ``z`` (d,), each given the trusted others.

    Parameters
    ----------
    z : deviations from the level, in scales; what stands where ``trusted`` is False is not used.
    mix : (d, d) symmetric root of the inverse correlation; None: features tell nothing about
        one another, and what is expected is the level itself.
    trusted : (d,) features that are taken at their word.
    """
    out = np.zeros(len(z))
    if mix is None or not trusted.any():
        return out
    precision = mix @ mix
    known, rest = np.flatnonzero(trusted), np.flatnonzero(~trusted)
    given = np.clip(z[known], -_MOST, _MOST)
    among = precision[np.ix_(known, known)]
    if len(rest):
        link = np.linalg.solve(precision[np.ix_(rest, rest)], precision[np.ix_(rest, known)])
        out[rest] = -link @ given
        among = among - precision[np.ix_(known, rest)] @ link
    out[known] = given - (among @ given) / np.diag(among)
    return out


def trustworthy(shares: Floats, guilty: float = 0.8) -> Bools:
    """All but the fewest features (d,) that hold the share ``guilty``, at least half of them."""
    order = np.argsort(-shares, kind="stable")
    held = np.cumsum(shares[order]) - shares[order]
    blamed = order[: max(len(shares) // 2, 1)][held[: max(len(shares) // 2, 1)] < guilty]
    out = np.ones(len(shares), bool)
    out[blamed] = False
    return out
