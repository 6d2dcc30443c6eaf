"""The detector contract.

A detector turns scaled readings into a raw magnitude: **higher = more anomalous**, everywhere.
Raw magnitudes of different detectors are not comparable; ``calibration`` puts them on one scale.

Two shapes exist. A *point* detector (``window == 1``) scores rows ``(n, d)``. A *window*
detector (``window == w > 1``) scores windows ``(n, w, d)``, oldest reading first, and speaks
about the LAST reading of each window only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from errors import InputError

Array = NDArray[np.floating[Any]]

#: ``progress(stage, done, total, figures)``: called from long work so that a person can watch.
Progress = Callable[[str, int, int, dict[str, float]], None]

#: The names on the wire, in the order in which results list them.
ISOLATION_FOREST = "isolation_forest"
ONE_CLASS_SVM = "one_class_svm"
LSTM_AUTOENCODER = "lstm_autoencoder"
MODEL_NAMES = (ISOLATION_FOREST, ONE_CLASS_SVM, LSTM_AUTOENCODER)


class Detector(ABC):
    """One detector: fitted once, then scored from any number of threads.

    Scoring never changes the detector, never changes its input, and the score of a row does not
    depend on the rows beside it (within 1e-6).

    Attributes
    ----------
    name : str
        One of :data:`MODEL_NAMES`.
    window : int
        Readings a score looks at, the scored one included; 1 for a point detector.
    n_features : int
        Width ``d`` of the input; 0 before ``fit``.
    """

    name: ClassVar[str]
    window: int = 1
    n_features: int = 0

    @abstractmethod
    def fit(self, streams: list[Array], *, progress: Progress | None = None) -> Self:
        """Fit on normal data.

        Parameters
        ----------
        streams : list of (n_i, d) arrays
            Scaled readings, one array a continuous stretch of one stream, in time order;
            windows never cross from one array into the next.
        """

    @abstractmethod
    def score(self, x: Array) -> NDArray[np.float64]:
        """Raw magnitude of each row ``(n, d)`` or window ``(n, w, d)``; returns ``(n,)``.

        Raises
        ------
        InputError
            If a value is NaN or infinite, or the shape does not fit.
        """

    @abstractmethod
    def explain(self, x: Array) -> NDArray[np.float64]:
        """Each feature's share of the magnitude: ``(n, d)``, non-negative, rows sum to 1."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write ``<name>.npz`` and ``<name>.json`` into ``folder``; never pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read back what ``save`` wrote; scores are equal bit by bit."""

    def check(self, x: Array) -> Array:
        """Validate the shape and finiteness of ``x``; returns it C-contiguous.

        Raises
        ------
        InputError
            Names the detector, and the row and column of the first bad value.
        """
        wanted = 3 if self.window > 1 else 2
        x = np.asarray(x)
        if x.ndim != wanted or x.shape[-1] != self.n_features:
            raise InputError(
                f"{self.name}: expected {wanted} dimensions with {self.n_features} features,"
                f" got shape {x.shape}"
            )
        if wanted == 3 and x.shape[1] != self.window:
            raise InputError(f"{self.name}: expected windows of {self.window}, got {x.shape[1]}")
        finite = np.isfinite(x)
        if not finite.all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise InputError(f"{self.name}: value {x[where]} at {where} is not a finite number")
        return np.ascontiguousarray(x)
