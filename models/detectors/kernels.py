"""Numba kernels for scoring: compiled, without the GIL, single-threaded.

Every kernel processes each row separately, in a fixed order of operations. A row's result is
therefore identical bit by bit in every batch. No kernel calls BLAS, whose thread pool would compete
with the server's threads.

Compiled code is cached beside the source or in ``NUMBA_CACHE_DIR``. If neither is writable (a
read-only image without a home folder), code is compiled in memory at each start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
_F = TypeVar("_F", bound=Callable[..., Any])

# Fused multiply-add is allowed; re-association is not, since results would then depend on how the
# compiler splits a loop.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}

_ROWS = 64  # rows per tree at a time: tree and rows then stay in the L1 cache
_LOG2E = 1.4426950408889634
# ln 2 in two parts (Cody and Waite 1980): the first has so few bits that n * part is exact.
_LN2_HI = 0.693145751953125
_LN2_LO = 1.4286068203094173e-06


def compiled(function: _F) -> _F:
    """Compile with ``numba.njit``; cache on disk if possible."""
    return _compiled(function, _OPTIONS)


def exact(function: _F) -> _F:
    """Compile like :func:`compiled`, each operation rounded as Python rounds it."""
    return _compiled(function, {**_OPTIONS, "fastmath": False})


def _compiled(function: _F, options: dict[str, Any]) -> _F:
    try:
        return njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # "no locator available": no writable folder
        return njit(**options)(function)  # type: ignore[no-any-return]


@intrinsic  # type: ignore[untyped-decorator]
def _float64_of_bits(_context: Any, _bits: Any) -> Any:
    def code(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), code


@compiled
def _exp_negative64(x: Any) -> Any:
    """Return ``exp(x)`` for ``x <= 0``, to 1e-14 relative; below -700 it is exp(-700)."""
    x = max(x, -700.0)
    n = np.int64(x * _LOG2E - 0.5)
    f = np.float64(n)
    r = (x - f * _LN2_HI) - f * _LN2_LO
    p = r * (1 / 39916800.0) + 1 / 3628800.0
    p = p * r + 1 / 362880.0
    p = p * r + 1 / 40320.0
    p = p * r + 1 / 5040.0
    p = p * r + 1 / 720.0
    p = p * r + 1 / 120.0
    p = p * r + 1 / 24.0
    p = p * r + 1 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * _float64_of_bits(np.int64((n + 1023) << 52))


@compiled
def affine(x: F64, centre: F64, matrix: F64) -> F64:
    """Return ``(x - centre) @ matrix``, (n, q).

    Parameters
    ----------
    x : (n, d)
    centre : (d,)
    matrix : (d, q)
    """
    n, d = x.shape
    q = matrix.shape[1]
    out = np.zeros((n, q))
    for row in range(n):
        for k in range(d):
            gap = x[row, k] - centre[k]
            for j in range(q):
                out[row, j] += gap * matrix[k, j]
    return out


@compiled
def forest_depths(x: F32, feature: I32, threshold: F32, leaf: F64, levels: int) -> F64:
    """Sum the path lengths over all trees.

    Parameters
    ----------
    x : (n, d)
    feature, threshold : (trees, 2**levels - 1)
        Complete binary trees in breadth-first order; a reading goes right if it is greater.
    leaf : (trees, 2**levels)
        Path length of each leaf, including the expected length below it.
    levels
        Levels of each tree above its leaves.

    Returns
    -------
    (n,) summed path lengths.
    """
    n = x.shape[0]
    inner = feature.shape[1]
    total = np.zeros(n)
    for first in range(0, n, _ROWS):
        last = min(first + _ROWS, n)
        for tree in range(feature.shape[0]):
            f = feature[tree]
            t = threshold[tree]
            v = leaf[tree]
            for row in range(first, last):
                reading = x[row]
                node = np.uint32(0)
                for _ in range(levels):
                    right = np.uint32(reading[f[node]] > t[node])
                    node = np.uint32(node + node + np.uint32(1) + right)
                total[row] += v[node - inner]
    return total


@compiled
def forest_gains(x: F32, feature: I32, threshold: F32, expected: F64, levels: int) -> F64:
    """Sum, by feature, how much each split shortens the expected path; returns (n, d).

    Parameters
    ----------
    x : (n, d)
    feature, threshold : (trees, nodes)
        Split of each inner node: a reading goes right if the feature is above the threshold.
    expected : (trees, 2**(levels + 1) - 1)
        Expected path length at each node.
    levels
        Depth of the trees.
    """
    gains = np.zeros((x.shape[0], x.shape[1]))
    for tree in range(feature.shape[0]):
        for row in range(x.shape[0]):
            node = 0
            for _ in range(levels):
                f = feature[tree, node]
                child = 2 * node + 1 + (1 if x[row, f] > threshold[tree, node] else 0)
                gains[row, f] += expected[tree, node] - expected[tree, child]
                node = child
    return gains


@compiled
def _kernel_terms(row: Any, vectors: Any, log_weight: Any, gamma: float, terms: Any) -> float:
    """Fill ``terms`` (m,) with ``w_i exp(-gamma |row - s_i|^2)``, scaled so that the largest is 1.

    Returns ``-log`` of that scale. Squared distances are sums of squared differences:
    ``x.x - 2 x.s + s.s`` would lose digits by cancellation.
    """
    terms[:] = 0.0
    for k in range(len(row)):
        value = row[k]
        s = vectors[k]
        for i in range(len(terms)):
            gap = value - s[i]
            terms[i] += gap * gap
    least = np.inf
    for i in range(len(terms)):
        terms[i] = gamma * terms[i] - log_weight[i]
        least = min(least, terms[i])
    for i in range(len(terms)):
        terms[i] = _exp_negative64(least - terms[i])
    return least


@compiled
def kernel_magnitude(x: F64, vectors: F64, log_weight: F64, gamma: float) -> F64:
    """Return ``-log sum_i w_i exp(-gamma |x - s_i|^2)`` per row (n,), by log-sum-exp.

    Parameters
    ----------
    x : (n, d)
    vectors : (d, m)
        The support vectors ``s_i``, one per column.
    log_weight : (m,)
        Logarithms of ``w_i``.
    gamma
        Inverse of the kernel's squared width.
    """
    n = len(x)
    m = vectors.shape[1]
    out = np.empty(n)
    terms = np.empty(m)
    for row in range(n):
        least = _kernel_terms(x[row], vectors, log_weight, gamma, terms)
        total = 0.0
        for i in range(m):
            total += terms[i]
        out[row] = least - np.log(total)
    return out


@compiled
def kernel_gaps(x: F64, vectors: F64, log_weight: F64, gamma: float) -> F64:
    """Return each row's difference from the mean of the vectors, weighted by their terms; (n, d).

    Parameters
    ----------
    x, vectors, log_weight, gamma
        Those of :func:`kernel_magnitude`.
    """
    n, d = x.shape
    m = vectors.shape[1]
    upright = vectors.T.copy()  # (m, d): the features of a vector side by side
    out = np.empty((n, d))
    terms = np.empty(m)
    mean = np.empty(d)
    for row in range(n):
        _kernel_terms(x[row], vectors, log_weight, gamma, terms)
        total = 0.0
        mean[:] = 0.0
        for i in range(m):
            weight = terms[i]
            total += weight
            for k in range(d):
                mean[k] += weight * upright[i, k]
        for k in range(d):
            out[row, k] = x[row, k] - mean[k] / total
    return out
