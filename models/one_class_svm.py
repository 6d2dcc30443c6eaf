"""One-class SVM: fitted by PyOD, scored as the logarithm of its kernel sum."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from errors import TrainingError
from models.base import ONE_CLASS_SVM, Array, Detector, Progress, number, shares, whole_number
from models.kernels import kernel_magnitude

# Squares of this still fit a float64; every finite reading gets a finite magnitude.
_FURTHEST = 1e150


class OneClassSVM(Detector):
    """Distance from the normal cloud, as the support vectors of a one-class SVM describe it.

    Sees readings outside the cloud whatever its shape. Takes no notice of time, and loses power
    where many features are noise, since it weighs them all alike.

    libsvm's decision function ``rho - sum_i a_i exp(-gamma |x - s_i|^2)`` ends at ``rho``: a few
    standard deviations out the kernels underflow, and far scores as near. The magnitude here is
    ``-log(sum_i a_i exp(-gamma |x - s_i|^2) / sum_i a_i)``, the same ranking without the ceiling:
    0 at best, and growing like ``gamma`` times the squared distance for ever.

    Parameters
    ----------
    nu : float
        In (0, 1]: bound on the share of fitted readings outside, and, in effect, how many of
        them become support vectors. Larger values give a smoother, dearer magnitude.
    gamma : "scale" or float
        Inverse squared width of the kernel; "scale" is ``1 / (d * variance)``.
    max_rows : int
        Fitting grows with the square of the readings, so at most this many, spread evenly over
        time, are used; scoring grows with ``nu * max_rows``.
    seed : int
        Of the choice of readings.

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

    def __init__(
        self,
        *,
        nu: float = 0.1,
        gamma: float | str = "scale",
        max_rows: int = 2000,
        seed: int = 0,
    ) -> None:
        self.nu = number("nu", nu, 1e-6, 1.0)
        self.gamma = gamma if gamma == "scale" else number("gamma", gamma, 1e-12, 1e12)
        self.max_rows = whole_number("max_rows", max_rows, 2, 100_000)
        self.seed = whole_number("seed", seed, 0, 2**32 - 1)

    @property
    def params(self) -> dict[str, Any]:
        return {
            "nu": self.nu,
            "gamma": self.gamma,
            "max_rows": self.max_rows,
            "seed": self.seed,
        }

    def fit(self, streams: list[Array], *, progress: Progress | None = None) -> Self:
        """Fit on normal data; see :meth:`Detector.fit`.

        Raises
        ------
        TrainingError
            If there are fewer than two readings, or a value is not finite.
        """
        # Imported here: a process that only scores then needs neither PyOD nor scikit-learn.
        from pyod.models.ocsvm import OCSVM

        rows = self.stack(streams)
        if len(rows) < 2:
            raise TrainingError(f"{self.name}: needs at least 2 readings, got {len(rows)}")
        chosen = self.thin_out(rows)
        self.width = self.gamma if isinstance(self.gamma, float) else _scale(chosen)
        library = OCSVM(nu=self.nu, gamma=self.width)
        library.fit(chosen)
        self.adopt(library)
        self.warm()
        if progress is not None:
            progress(self.name, 1, 1, {"support_vectors": float(self._vectors.shape[1])})
        return self

    def thin_out(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """At most ``max_rows`` of ``rows``: one drawn from each of as many equal stretches."""
        if len(rows) <= self.max_rows:
            return rows
        edges = np.linspace(0, len(rows), self.max_rows + 1)
        draw = np.random.default_rng(self.seed).uniform(size=self.max_rows)
        places = (edges[:-1] + draw * np.diff(edges)).astype(np.int64)
        chosen: NDArray[np.float64] = rows[np.minimum(places, len(rows) - 1)]
        return chosen

    def adopt(self, library: Any) -> None:
        """Take over the support vectors of a fitted PyOD ``OCSVM`` with an RBF kernel."""
        machine = getattr(library, "detector_", library)
        dual = machine.dual_coef_[0]
        held = dual > 0
        self.n_features = int(machine.n_features_in_)
        self.width = float(machine._gamma)
        self._vectors = np.ascontiguousarray(machine.support_vectors_[held].T)  # (d, m)
        self._total = float(dual.sum())
        self._log_weight = np.log(dual[held] / self._total)
        self._rho = float(-machine.intercept_[0])

    def score(self, x: Array) -> NDArray[np.float64]:
        """``-log`` of the weighted kernel sum of each row (n, d); see :meth:`Detector.score`."""
        return kernel_magnitude(self._double(x), self._vectors, self._log_weight, self.width)

    def decision(self, x: Array) -> NDArray[np.float64]:
        """PyOD's ``OCSVM.decision_function``, from the same sum: positive outside, <= ``rho``."""
        decision: NDArray[np.float64] = self._rho - self._total * np.exp(-self.score(x))
        return decision

    def explain(self, x: Array) -> NDArray[np.float64]:
        """Share of each feature in the squared distance; see :meth:`Detector.explain`.

        Distances to the support vectors are weighted as the kernel sum weighs them.
        """
        x = self._double(x)
        parts = np.empty_like(x)
        for row, reading in enumerate(x):
            squares = (self._vectors - reading[:, None]) ** 2  # (d, m)
            energy = self.width * squares.sum(axis=0) - self._log_weight
            weight = np.exp(energy.min() - energy)
            parts[row] = squares @ (weight / weight.sum())
        return shares(parts)

    def save(self, folder: Path) -> None:
        arrays = {"vectors": self._vectors, "log_weight": self._log_weight}
        self.write(folder, arrays, width=self.width, total=self._total, rho=self._rho)

    @classmethod
    def load(cls, folder: Path) -> Self:
        detector, arrays, facts = cls.read(folder)
        detector._vectors = arrays["vectors"]
        detector._log_weight = arrays["log_weight"]
        detector.width = float(facts["width"])
        detector._total = float(facts["total"])
        detector._rho = float(facts["rho"])
        detector.warm()
        return detector

    def _double(self, x: Array) -> NDArray[np.float64]:
        return np.clip(self.check(x), -_FURTHEST, _FURTHEST).astype(np.float64, copy=False)


def _scale(rows: NDArray[np.float64]) -> float:
    variance = float(rows.var())
    return 1.0 / (rows.shape[1] * variance) if variance > 0 else 1.0
