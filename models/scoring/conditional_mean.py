"""What a feature should have read, given where its stream has been and what the others read.

Readings around the stream's level are taken as jointly normal with the correlation that
preprocessing decorrelates by; a feature's expected value is its mean given the trusted ones
(Anderson: An Introduction to Multivariate Statistical Analysis, 2.5).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.arrays import Bools, Floats

#: A single trusted value counts as at most so many of its scales away from the level.
_CLIP: Final = 4.0
#: Share of an anomaly that the features to blame for it hold.
GUILTY: Final = 0.8


def expected(z: Floats, mix: Floats | None, trusted: Bools) -> Floats:
    """Conditional means (n, d) of scaled deviations ``z`` (n, d), each given the trusted others.

    A row's result does not depend on the other rows.

    Parameters
    ----------
    z : deviations from the level, in scales; what stands where ``trusted`` is False is not used.
    mix : (d, d) symmetric root of the inverse correlation; None: features say nothing about
        one another, and what is expected is the level itself.
    trusted : (n, d) features that are taken at their word.
    """
    out = np.zeros(z.shape)
    if mix is None:
        return out
    precision = mix @ mix
    known = trusted.sum(axis=1)
    for count in np.unique(known[known > 0]):  # rows with as many known have arrays of one shape
        rows = np.flatnonzero(known == count)
        out[rows] = _alike(z[rows], precision, trusted[rows])
    return out


def _alike(z: Floats, precision: Floats, trusted: Bools) -> Floats:
    """Return the same for rows that all trust the same number of features, at least one."""
    n = len(z)
    known = np.nonzero(trusted)[1].reshape(n, -1)  # (n, k)
    rest = np.nonzero(~trusted)[1].reshape(n, -1)  # (n, d - k)
    row = np.arange(n)[:, None]
    out = np.zeros(z.shape)
    given = np.clip(z[row, known], -_CLIP, _CLIP)[:, :, None]  # (n, k, 1)
    among = precision[known[:, :, None], known[:, None, :]]
    if rest.shape[1]:
        across = precision[rest[:, :, None], known[:, None, :]]
        link = np.linalg.solve(precision[rest[:, :, None], rest[:, None, :]], across)
        out[row, rest] = -(link @ given)[:, :, 0]
        among = among - across.transpose(0, 2, 1) @ link
    own = np.diagonal(among, axis1=1, axis2=2)
    out[row, known] = given[:, :, 0] - (among @ given)[:, :, 0] / own
    return out


def trustworthy(shares: Floats) -> Bools:
    """In each row all but the fewest features that hold the share GUILTY, at least half.

    Parameters
    ----------
    shares : (n, d) of each feature in an anomaly.

    Returns
    -------
    (n, d) of bool
    """
    order = np.argsort(-shares, axis=1, kind="stable")
    sorted_shares = np.take_along_axis(shares, order, axis=1)
    held = np.cumsum(sorted_shares, axis=1) - sorted_shares
    blamed = held < GUILTY
    blamed[:, max(shares.shape[1] // 2, 1) :] = False
    out = np.empty(shares.shape, bool)
    np.put_along_axis(out, order, ~blamed, axis=1)
    return out
