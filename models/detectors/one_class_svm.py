"""Detect by one-class SVM: fitted by PyOD, scored as the logarithm of its kernel sum."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from models.arrays import Floats
from models.detectors.base import ONE_CLASS_SVM, Array, bounded, number, shares, whole_number
from models.detectors.covariance import thin_out
from models.detectors.kernels import kernel_gaps, kernel_magnitude
from models.detectors.point import PointDetector

# Squares of this still fit a float64; every finite reading gets a finite magnitude.
_CLIP = 1e150
_LEAST = 0.1  # energies well below this are alike: the scale of the logarithm


class OneClassSVM(PointDetector):
    """Score the distance from the normal cloud described by the support vectors.

    Detects readings outside a cloud of any shape; ignores time. Distances are measured in whitened
    coordinates (:class:`RobustCovariance`): on correlated sensors a plain kernel would see only
    their common movements.

    libsvm's decision function ``rho - sum_i a_i exp(-gamma |x - s_i|^2)`` is bounded by ``rho``: a
    few standard deviations out the kernels underflow, and all distances score the same. The energy
    ``E = -log(sum_i a_i exp(-gamma |x - s_i|^2) / sum_i a_i)`` has the same ranking without a
    bound: it is at least 0 and grows like ``gamma`` times the squared distance. The magnitude is
    ``log(1 + 10 E)``: energies of heavy-tailed features differ by factors, and the logarithm keeps
    one absurd value from dominating later averages.

    Parameters
    ----------
    nu : float
        In (0, 1): upper bound on the share of fitted readings outside, and roughly the share that
        become support vectors. Larger values give a smoother, costlier magnitude.
    gamma : "scale" or float
        Inverse squared width of the kernel; "scale" is ``1 / (d * variance)``.
    max_rows : int
        Maximum number of readings to fit on, evenly spread over time: the cost of fitting grows
        with their square, that of scoring with ``nu * max_rows``.
    seed : int
        Seed of the choice of readings.
    log : bool
        Whether the magnitude is ``log(1 + 10 E)`` or, as in model sets of early releases, ``E``.

    References
    ----------
    Schoelkopf, Platt, Shawe-Taylor, Smola, Williamson: Estimating the Support of a
    High-Dimensional Distribution. Neural Computation 13, 2001.
    Zhao, Nasrullah, Li: PyOD: A Python Toolbox for Scalable Outlier Detection. JMLR 20, 2019.

    Examples
    --------
    >>> normal = np.random.default_rng(0).normal(size=(1000, 3))
    >>> svm = OneClassSVM().fit([normal])
    >>> near, far = svm.score(np.array([[0.0, 50.0, 0.0], [0.0, 100.0, 0.0]]))
    >>> bool(far > near)
    True
    """

    name = ONE_CLASS_SVM
    ONCE: ClassVar = {"log": False}
    ARRAYS = ("vectors", "log_weight")
    FIGURES = ("width", "total", "rho")

    def __init__(
        self,
        *,
        nu: float = 0.1,
        gamma: float | str = "scale",
        max_rows: int = 2000,
        seed: int = 0,
        log: bool = True,
    ) -> None:
        self.log = bool(log)
        self.nu = number("nu", nu, 1e-6, 0.99)
        self.gamma = gamma if gamma == "scale" else number("gamma", gamma, 1e-12, 1e12)
        self.max_rows = whole_number("max_rows", max_rows, 2, 100_000)
        self.seed = whole_number("seed", seed, 0, 2**32 - 1)

    def _fitted(self, rows: Floats) -> Any:
        # Imported here: a process that only scores then needs neither PyOD nor scikit-learn.
        from pyod.models.ocsvm import OCSVM

        chosen = self.coordinates(thin_out(rows, self.max_rows, self.seed))
        self._width = self.gamma if isinstance(self.gamma, float) else _scale(chosen)
        return OCSVM(nu=self.nu, gamma=self._width).fit(chosen)

    def figures(self) -> dict[str, float]:
        """Return the number of support vectors."""
        return {"support_vectors": float(self._vectors.shape[1])}

    def coordinates(self, x: Array) -> Floats:
        """Return readings (n, d) in the kernel's whitened coordinates, (n, d)."""
        return self._correlation.whiten(bounded(x, _CLIP))

    def _adopt(self, library: Any) -> None:
        """Take over the support vectors of a fitted PyOD ``OCSVM``."""
        machine = library.detector_
        dual = machine.dual_coef_[0]
        held = dual > 0
        self._vectors = np.ascontiguousarray(machine.support_vectors_[held].T)  # (d, m)
        self._total = float(dual.sum())
        self._log_weight = np.log(dual[held] / self._total)
        self._rho = float(-machine.intercept_[0])

    def score(self, x: Array) -> Floats:
        """Return ``log(1 + 10 E)`` of the energy E per row (n, d); see :meth:`Detector.score`."""
        energy = self.energy(x)
        return np.log1p(energy / _LEAST) if self.log else energy

    def energy(self, x: Array) -> Floats:
        """Return ``-log`` of the weighted kernel sum of each row (n, d): (n,), at least 0."""
        whitened = self.coordinates(self.check(x))
        found = kernel_magnitude(whitened, self._vectors, self._log_weight, self._width)
        return np.maximum(found, 0.0) if self.log else found

    def decision(self, x: Array) -> Floats:
        """Return PyOD's ``OCSVM.decision_function``: positive outside, <= ``rho``."""
        decision: Floats = self._rho - self._total * np.exp(-self.energy(x))
        return decision

    def explain(self, x: Array) -> Floats:
        """Return each feature's share of the contributions; see :meth:`Detector.explain`.

        Contributions (:meth:`RobustCovariance.contributions`) are of the deviation from the nearest
        normal operation: the mean of the support vectors, weighted by their kernel terms.
        """
        whitened = self.coordinates(self.check(x))
        gaps = kernel_gaps(whitened, self._vectors, self._log_weight, self._width)
        return shares(self._correlation.contributions(gaps, whitened=True))


def _scale(rows: Floats) -> float:
    variance = float(rows.var())
    return 1.0 / (rows.shape[1] * variance) if variance > 0 else 1.0
