"""Define the detector contract.

A detector turns scaled readings into a raw magnitude: **higher = more anomalous**, everywhere.
Raw magnitudes of different detectors are not comparable; ``calibration`` puts them on one scale.

A *point* detector (``window == 1``) scores rows ``(n, d)``. A *window* detector
(``window == w > 1``) scores windows ``(n, w, d)``, oldest reading first; its score is about the
LAST reading of each window only.
"""

from __future__ import annotations

import inspect
import io
import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from errors import BundleError, InputError, TrainingError
from models.arrays import Floats

Array = NDArray[np.floating[Any]]

#: ``progress(stage, done, total, figures)``: called during long work, to show a person.
Progress = Callable[[str, int, int, dict[str, float]], None]

#: The names on the wire, in the order in which results list them.
ISOLATION_FOREST = "isolation_forest"
ONE_CLASS_SVM = "one_class_svm"
LSTM_AUTOENCODER = "lstm_autoencoder"
MODEL_NAMES = (ISOLATION_FOREST, ONE_CLASS_SVM, LSTM_AUTOENCODER)


class Detector(ABC):
    """Base of a detector: fitted once, then scores from any number of threads.

    Scoring never changes the detector or its input. The score of a row does not depend on the
    other rows of the batch (within 1e-6).

    Attributes
    ----------
    name : str
        One of :data:`MODEL_NAMES`.
    ONCE : mapping
        Parameters that files of former releases lack, with their values at that time.
    window : int
        Readings that a score depends on, including the scored one; 1 for a point detector.
    n_features : int
        Width ``d`` of the input; 0 before ``fit``.
    """

    name: ClassVar[str]
    ONCE: ClassVar[Mapping[str, Any]] = {}
    window: int = 1
    n_features: int = 0

    @property
    def params(self) -> dict[str, Any]:
        """Return the constructor's arguments for JSON, so ``type(self)(**params)`` is a twin.

        Each argument is kept in the attribute of its name.
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @abstractmethod
    def fit(self, streams: list[Array], *, progress: Progress | None = None) -> Self:
        """Fit on normal data.

        Parameters
        ----------
        streams : list of (n_i, d) arrays
            Scaled readings, one array per continuous stretch of one stream, in time order;
            windows never cross from one array into the next.
        """

    @abstractmethod
    def score(self, x: Array) -> Floats:
        """Return the raw magnitude of each row ``(n, d)`` or window ``(n, w, d)``, as ``(n,)``.

        Raises
        ------
        InputError
            A value is NaN or infinite, or the shape is wrong.
        """

    @abstractmethod
    def explain(self, x: Array) -> Floats:
        """Return each feature's share of the magnitude: ``(n, d)``, non-negative, rows sum to 1."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write ``<name>.npz`` and ``<name>.json`` into ``folder``; never pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read back what ``save`` wrote; scores are identical bit by bit."""

    def warm(self) -> None:
        """Run every code path of scoring once, so that the first real call need not compile.

        ``fit`` and ``load`` call this at their end.
        """
        shape = (1, self.n_features) if self.window == 1 else (1, self.window, self.n_features)
        x = np.zeros(shape)
        self.score(x)
        self.explain(x)

    def stack(self, streams: list[Array]) -> Floats:
        """Stack all rows of ``streams``, as a copy; set ``n_features``.

        Raises
        ------
        TrainingError
            If there is no row, the widths differ, or a value is NaN or infinite.
        """
        arrays = [np.asarray(s, dtype=np.float64) for s in streams]
        widths = {a.shape[-1] for a in arrays}
        if any(a.ndim != 2 for a in arrays) or len(widths) != 1 or widths == {0}:
            raise TrainingError(f"{self.name}: streams must be (n, d) arrays of one width d >= 1")
        rows = np.concatenate(arrays)
        if not len(rows):
            raise TrainingError(f"{self.name}: no reading to fit on")
        if not np.isfinite(rows).all():
            raise TrainingError(f"{self.name}: a value to fit on is not a finite number")
        self.n_features = widths.pop()
        return rows

    def write(self, folder: Path, arrays: Mapping[str, Any], **facts: Any) -> None:
        """Write ``arrays`` to ``<name>.npz``, ``params`` and ``facts`` to ``<name>.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        # sorted, so that saving a loaded detector gives the same bytes, and the same version
        np.savez(folder / f"{self.name}.npz", **dict(sorted(arrays.items())))
        content = {"params": self.params, "n_features": self.n_features, **facts}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        (folder / f"{self.name}.json").write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> tuple[Self, dict[str, Any], dict[str, Any]]:
        """Recreate a detector from its ``params``, with the arrays and facts of ``write``.

        Raises
        ------
        BundleError
            If a file is missing, damaged or of another version.
        """
        try:
            facts = json.loads((folder / f"{cls.name}.json").read_text(encoding="utf-8"))
            # read into memory first, since numpy leaves a damaged file open
            content = io.BytesIO((folder / f"{cls.name}.npz").read_bytes())
            with np.load(content, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            detector = cls(**{**cls.ONCE, **facts["params"]})
            detector.n_features = int(facts["n_features"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise BundleError(f"{cls.name}: cannot be read from {folder}: {error}") from error
        return detector, arrays, facts

    def check(self, x: Array) -> Array:
        """Validate the shape and finiteness of ``x``; return it C-contiguous.

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
        self.check_finite(x)
        return np.ascontiguousarray(x)

    def check_finite(self, x: Array) -> None:
        """Raise InputError if a value is NaN or infinite, naming its index."""
        finite = np.isfinite(x)
        if not finite.all():
            where = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise InputError(f"{self.name}: value {x[where]} at {where} is not a finite number")


def shares(parts: Floats) -> Floats:
    """Divide non-negative ``parts`` (n, d) by their row sums; a row of zeros becomes uniform."""
    largest = parts.max(axis=1, keepdims=True)
    parts = np.where(largest > 0, parts / np.where(largest > 0, largest, 1.0), 1.0)
    result: Floats = parts / parts.sum(axis=1, keepdims=True)
    return result


def bounded(x: Array, limit: float) -> Floats:
    """Copy as C-contiguous float64, clipped to ``[-limit, limit]`` so that squares stay finite."""
    copy = np.array(x, dtype=np.float64, order="C")
    return np.clip(copy, -limit, limit, out=copy)


def number(parameter: str, value: Any, low: float, high: float) -> float:
    """Check that ``value`` is a float within [low, high].

    Parameters
    ----------
    parameter
        Names the value in the error.
    low, high
        Bounds, both allowed.

    Raises
    ------
    ValueError
        Names the parameter.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise ValueError(f"{parameter} must be a number, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{parameter} must lie between {low:g} and {high:g}, got {value!r}")
    return float(value)


def whole_number(parameter: str, value: Any, low: int, high: int) -> int:
    """Check that ``value`` is an int within [low, high]; raises as :func:`number` does.

    Parameters
    ----------
    parameter
        Names the value in the error.
    low, high
        Bounds, both allowed.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{parameter} must be a whole number, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{parameter} must lie between {low} and {high}, got {value!r}")
    return int(value)
