"""Compute a feature's expected value, given its stream's level and the other features.

Readings are modelled as jointly normal around the stream's level, with the correlation that
preprocessing removes. A feature's expected value is its conditional mean given the trusted features
(Anderson: An Introduction to Multivariate Statistical Analysis, 2.5).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from models.arrays import Bools, Floats, Indices

#: Trusted values are clipped at this many scales from the level: one must not dominate.
_CLIP: Final = 4.0
#: The features blamed for an anomaly together hold at least this share of it.
BLAMED: Final = 0.8


def expected(z: Floats, whitening: Floats | None, trusted: Bools) -> Floats:
    """Return the conditional mean (n, d) of each feature given the other, trusted ones.

    Rows are independent of one another.

    Parameters
    ----------
    z : (n, d) deviations from the level, in scales; untrusted values are not used.
    whitening : (d, d) symmetric root of the inverse correlation; None: features are taken as
        uncorrelated, so the level itself is expected.
    trusted : (n, d) whether a feature's value may be used to predict the others.
    """
    out = np.zeros(z.shape)
    if whitening is None:
        return out
    precision = whitening @ whitening
    known = trusted.sum(axis=1)
    for count in np.unique(known[known > 0]):  # rows with equal counts share array shapes
        rows = np.flatnonzero(known == count)
        out[rows] = _alike(z[rows], precision, trusted[rows])
    return out


def missing_values(z: Floats, precision: Floats, here: Bools) -> Floats:
    """Return the conditional mean (n, d) of features that readings lack; 0 for the present ones.

    Parameters
    ----------
    z : (n, d) deviations from the level, in scales; missing values are not used.
    precision : (d, d) inverse correlation.
    here : (d,) whether the readings have a feature.
    """
    out = np.zeros(z.shape)
    gone = ~here
    link = np.linalg.solve(precision[np.ix_(gone, gone)], precision[np.ix_(gone, here)])
    out[:, gone] = -(np.clip(z[:, here], -_CLIP, _CLIP) @ link.T)
    return out


def lacking_alike(holes: Bools) -> list[Indices]:
    """Return the numbers of rows together that lack the same features.

    ``holes`` (n, d) says whether a value is missing; rows without holes are left out.
    """
    numbers = np.flatnonzero(holes.any(axis=1))
    if not len(numbers):
        return []
    _, kinds = np.unique(np.packbits(holes[numbers], axis=1), axis=0, return_inverse=True)
    order = np.argsort(kinds.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(kinds.ravel()))[:-1]
    return np.split(numbers[order], ends)


def _alike(z: Floats, precision: Floats, trusted: Bools) -> Floats:
    """Return the conditional means of rows that all trust the same number of features."""
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
    """Trust all features except the fewest that together hold the share BLAMED of an anomaly.

    At least half of the features are trusted.

    Parameters
    ----------
    shares : (n, d) share of each feature in each anomaly.

    Returns
    -------
    (n, d) of bool
    """
    order = np.argsort(-shares, axis=1, kind="stable")
    sorted_shares = np.take_along_axis(shares, order, axis=1)
    held = np.cumsum(sorted_shares, axis=1) - sorted_shares
    blamed = held < BLAMED
    blamed[:, max(shares.shape[1] // 2, 1) :] = False
    out = np.empty(shares.shape, bool)
    np.put_along_axis(out, order, ~blamed, axis=1)
    return out
