"""Compare training distributions with recent ones, to detect that a plant has changed.

The training distribution of each feature, and of the out-of-fold scores, is kept as a histogram
over its quantile bins. Recent values are compared by the population stability index
``PSI = sum (r - t) * ln(r / t)`` over the bins' shares r (recent) and t (training), the symmetric
Kullback-Leibler divergence. By convention, below 0.1 is stable and above 0.25 is shifted. For n
recent values of the same distribution PSI is about chi-squared / n; its mean is given as ``noise``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from models.arrays import Floats

BINS: Final = 20
STABLE: Final = 0.1  # these two by convention
SHIFTED: Final = 0.25
#: Prefix of scores' names in a profile, which also holds the features.
SCORE: Final = "score/"


T = TypeVar("T")


def score_columns(scores: Mapping[str, T]) -> dict[str, T]:
    """Return scores by detector (and ``final_score``) under their names in a profile."""
    return {SCORE + name: values for name, values in scores.items()}


def recent_columns(
    readings: Iterable[tuple[Mapping[str, float], Mapping[str, float]]],
) -> dict[str, list[float]]:
    """Arrange readings (features, scores) as one list per column, for :func:`compare`."""
    out: dict[str, list[float]] = {}
    for features, scores in readings:
        for name, value in (*features.items(), *score_columns(scores).items()):
            out.setdefault(name, []).append(value)
    return out


def make_profile(columns: Mapping[str, Floats]) -> dict[str, Any]:
    """Return a quantile histogram per column (n,): ``{name: {"edges", "shares", "n"}}``."""
    out = {}
    for name, values in columns.items():
        values = np.asarray(values, np.float64)
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
        shares = _shares(values, edges)
        out[name] = {"edges": edges.tolist(), "shares": shares.tolist(), "n": len(values)}
    return out


def compare(
    profile: Mapping[str, Any], recent: Mapping[str, Sequence[float] | Floats]
) -> dict[str, Any]:
    """Compare recent values of each column with the profile; columns not in both are left out.

    Returns
    -------
    dict
        ``{name: {"psi", "noise", "state", "n", "outside"}}``. ``state`` is stable, moved, shifted
        or ``too_few`` (noise alone would exceed STABLE). ``outside`` is the share of recent values
        below the first or above the last bin edge; 2 / BINS if the distribution is unchanged, 0 if
        it is a constant.
    """
    out = {}
    for name, values in recent.items():
        if name not in profile or not len(values):
            continue
        edges = np.array(profile[name]["edges"])
        trained = np.array(profile[name]["shares"])
        array = np.asarray(values, np.float64)
        shares = _shares(array, edges)
        floor = 0.5 / max(len(array), 1)
        r, t = np.maximum(shares, floor), np.maximum(trained, 1e-6)
        psi = float(((r - t) * np.log(r / t)).sum())
        noise = len(edges) / len(array)
        out[name] = {
            "psi": round(psi, 6),
            "noise": round(noise, 6),
            "state": _state(psi, noise),
            "n": len(array),
            "outside": round(float(np.mean((array < edges[0]) | (array > edges[-1]))), 6),
        }
    return out


def _state(psi: float, noise: float) -> str:
    if noise > STABLE:
        return "too_few"
    if psi < STABLE:
        return "stable"
    return "moved" if psi < SHIFTED else "shifted"


def _shares(values: Floats, edges: Floats) -> Floats:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    shares: Floats = counts / max(len(values), 1)
    return shares
