"""Simple methods of a few lines each, measured on the same rows for comparison.

Each takes training readings (m, d) and test readings (n, d) and returns scores (n,); higher is more
anomalous. None has a threshold, so they are compared by their ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import OURS, Row
from models.arrays import Bools, Floats

Method = Callable[[Floats, Floats], Floats]

_SHRUNK = 0.1
_HALF_LIFE = 5.0


def moving(train: Floats) -> Bools:
    """Return which features vary in training: (d,)."""
    largest = np.maximum(np.abs(train).max(axis=0), 1e-300)
    out: Bools = train.std(axis=0) > 1e-9 * largest
    return out


def standard(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Scale both by the training mean and standard deviation."""
    mean, sd = train.mean(axis=0), train.std(axis=0)
    return (train - mean) / sd, (test - mean) / sd


def t_squared(train: Floats, test: Floats) -> Floats:
    """Return Hotelling's T^2 from the sample covariance."""
    known, fresh = standard(train, test)
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(known, rowvar=False)))
    out: Floats = np.einsum("ij,jk,ik->i", fresh, inverse, fresh)
    return out


def pca_q(train: Floats, test: Floats) -> Floats:
    """Return the squared residual of the principal components with 90 % of the variance."""
    known, fresh = standard(train, test)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(known, rowvar=False)))
    held = np.searchsorted(np.cumsum(values[::-1]) / values.sum(), 0.9) + 1
    main = vectors[:, ::-1][:, :held]
    out: Floats = ((fresh - fresh @ main @ main.T) ** 2).sum(axis=1)
    return out


def forest(train: Floats, test: Floats) -> Floats:
    """Return scores of scikit-learn's Isolation Forest with its defaults."""
    from sklearn.ensemble import IsolationForest

    known, fresh = standard(train, test)
    out: Floats = -IsolationForest(random_state=0).fit(known).score_samples(fresh)
    return out


def svm(train: Floats, test: Floats) -> Floats:
    """Return scores of scikit-learn's one-class SVM on at most 2,000 rows."""
    from sklearn.svm import OneClassSVM

    known, fresh = standard(train, test)
    known = known[:: -(-len(known) // 2000)]
    out: Floats = -OneClassSVM(nu=0.1).fit(known).decision_function(fresh)
    return out


def smoothed_t_squared(train: Floats, test: Floats) -> Floats:
    """Return (A) T^2 of robustly scaled rows, correlation shrunk by a tenth, smoothed logarithm."""
    low, high = np.quantile(train, (0.005, 0.995), axis=0)
    centre, sd = np.median(train, axis=0), np.clip(train, low, high).std(axis=0)
    sd = np.where(sd > 0, sd, train.std(axis=0))
    known, fresh = (train - centre) / sd, (test - centre) / sd
    together = np.atleast_2d(np.corrcoef(np.clip(known, -4, 4), rowvar=False))
    together = (1 - _SHRUNK) * np.nan_to_num(together) + _SHRUNK * np.eye(len(sd))
    squared = np.einsum("ij,jk,ik->i", fresh, np.linalg.inv(together), fresh)
    return smoothed(np.log(squared + 1e-9), _HALF_LIFE)


def forecast_t_squared(train: Floats, test: Floats) -> Floats:
    """Return (B) T^2 of the residuals of a one-step ridge forecast."""
    known, fresh = standard(train, test)
    d = known.shape[1]
    weights = np.linalg.solve(known[:-1].T @ known[:-1] + np.eye(d), known[:-1].T @ known[1:])
    residual = known[1:] - known[:-1] @ weights
    before = np.vstack([known[-1:], fresh[:-1]])
    error = fresh - before @ weights - residual.mean(axis=0)
    inverse = np.linalg.inv(np.atleast_2d(np.cov(residual, rowvar=False)) + 1e-6 * np.eye(d))
    out: Floats = np.einsum("ij,jk,ik->i", error, inverse, error)
    return out


def smoothed(values: Floats, half_life: float) -> Floats:
    """Return the exponentially weighted mean of (n,), starting at the first value."""
    from scipy.signal import lfilter

    weight = 1.0 - 0.5 ** (1.0 / half_life)
    start = [(1.0 - weight) * values[0]]
    out: Floats = lfilter([weight], [1.0, weight - 1.0], values, zi=start)[0]
    return out


METHODS: dict[str, Method] = {
    "PCA-Q": pca_q,
    "T^2": t_squared,
    "plain forest": forest,
    "plain SVM": svm,
    "(A) smoothed T^2": smoothed_t_squared,
    "(B) forecast T^2": forecast_t_squared,
}


def ranked(train: Floats, test: Floats, ours: Floats) -> dict[str, Floats]:
    """Return scores (n,) of the readings ``test`` (n, d) by each method, including ours."""
    used = moving(train)
    scores = {name: method(train[:, used], test[:, used]) for name, method in METHODS.items()}
    return {OURS: ours, **scores}


def precision(
    data: str, truths: Sequence[NDArray[Any]], scores: Sequence[dict[str, Floats]]
) -> list[Row]:
    """Return the average precision of each method, averaged over the streams with a fault."""
    from sklearn.metrics import average_precision_score

    faulty = [(t > 0, s) for t, s in zip(truths, scores, strict=True) if (t > 0).any()]
    return [
        Row(data, method, "average precision",
            float(np.mean([average_precision_score(t, s[method]) for t, s in faulty])))
        for method in scores[0]
    ]  # fmt: skip
