"""Base of the point detectors, which a library fits."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

from errors import TrainingError
from models.arrays import Floats
from models.detectors.base import Array, Detector, Progress
from models.detectors.covariance import RobustCovariance, missing_variance


class PointDetector(Detector):
    """Base of a point detector, fitted by a library in coordinates of the readings' covariance.

    Attributes
    ----------
    ARRAYS, FIGURES : tuple of str
        Names of the stored results, besides the covariance. Each is kept in the attribute of its
        name with a leading underscore.
    """

    ARRAYS: ClassVar[tuple[str, ...]]
    FIGURES: ClassVar[tuple[str, ...]]

    _correlation: RobustCovariance

    def fit(self, streams: list[Array], *, progress: Progress | None = None) -> Self:
        """Fit on normal data; see :meth:`Detector.fit`.

        Raises
        ------
        TrainingError
            There are fewer than two readings, or a value is not finite.
        """
        rows = self.stack(streams)
        if len(rows) < 2:
            raise TrainingError(f"{self.name}: needs at least 2 readings, got {len(rows)}")
        self._correlation = RobustCovariance.of(rows, missing_variance(rows))
        library = self._fitted(rows)
        self._adopt(library)
        self.warm()
        if progress is not None:
            progress(self.name, 1, 1, self.figures())
        return self

    @abstractmethod
    def coordinates(self, x: Array) -> Floats:
        """Return readings (n, d) in the coordinates that the library fits."""

    @abstractmethod
    def _fitted(self, rows: Floats) -> Any:
        """Return the library's detector, fitted on rows (n, d)."""

    @abstractmethod
    def _adopt(self, library: Any) -> None:
        """Copy ``ARRAYS`` and ``FIGURES`` from the library's fitted detector."""

    def figures(self) -> dict[str, float]:
        """Return the figures to report after the fit."""
        return {}

    def save(self, folder: Path) -> None:
        """Write ``ARRAYS``, ``FIGURES`` and the covariance; see :meth:`Detector.save`."""
        arrays = {name: getattr(self, f"_{name}") for name in self.ARRAYS}
        figures = {name: getattr(self, f"_{name}") for name in self.FIGURES}
        self.write(folder, {**arrays, **self._correlation.arrays()}, **figures)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote; see :meth:`Detector.load`."""
        detector, arrays, facts = cls.read(folder)
        detector._correlation = RobustCovariance.from_arrays(arrays)
        for name in cls.ARRAYS:
            setattr(detector, f"_{name}", arrays[name])
        for name in cls.FIGURES:
            setattr(detector, f"_{name}", facts[name])
        detector.warm()
        return detector
