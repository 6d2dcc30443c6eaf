"""Detect by Isolation Forest: fitted by PyOD, scored by a flattened copy of its trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.detectors.base import ISOLATION_FOREST, Array, bounded, shares, whole_number
from models.detectors.covariance import thin_out
from models.detectors.kernels import affine, forest_depths, forest_gains
from models.detectors.point import PointDetector

# Beyond float32 a cast would warn; every cut lies far inside.
_CLIP = 1e30


class IsolationForest(PointDetector):
    """Score a reading by how few random cuts isolate it.

    Cuts are parallel to axes, and a fault rarely stands out along a single sensor's axis. The
    forest therefore uses each feature's deviation from its expectation given the others, and the
    common movements (:meth:`RobustCovariance.views`).

    Detects readings outside the normal cloud and in its gaps. The magnitude is bounded: beyond the
    outermost cut, far and very far score the same. It ignores time.

    The magnitude equals PyOD's ``IForest.decision_function`` on these coordinates within 1e-9, and
    lies in about [-0.5, 0.5]. Trees are stored as complete binary trees, so that a kernel walks
    them without branching; thresholds are rounded down to float32, in which scikit-learn compares.

    Parameters
    ----------
    n_trees : int
        More trees give a smoother score at proportional cost; above 100 little is gained.
    max_samples : int
        Readings per tree, 2 to 4096. Small samples keep clusters of anomalies from hiding one
        another; trees are ``ceil(log2(max_samples))`` levels deep.
    seed : int
        Seed of the random cuts.

    References
    ----------
    Liu, Ting, Zhou: Isolation Forest. ICDM 2008.
    Zhao, Nasrullah, Li: PyOD: A Python Toolbox for Scalable Outlier Detection. JMLR 20, 2019.

    Examples
    --------
    >>> normal = np.random.default_rng(0).normal(size=(1000, 3))
    >>> forest = IsolationForest(seed=0).fit([normal])
    >>> near, far = forest.score(np.array([[0.0, 0.0, 0.0], [0.0, 9.0, 0.0]]))
    >>> bool(far > near)
    True
    """

    name = ISOLATION_FOREST
    ARRAYS = ("feature", "threshold", "expected")
    FIGURES = ("levels", "norm", "offset")

    def __init__(self, *, n_trees: int = 100, max_samples: int = 256, seed: int = 0) -> None:
        self.n_trees = whole_number("n_trees", n_trees, 1, 10_000)
        self.max_samples = whole_number("max_samples", max_samples, 2, 4096)
        self.seed = whole_number("seed", seed, 0, 2**32 - 1)

    def _fitted(self, rows: Floats) -> Any:
        # Imported here: a process that only scores then needs neither PyOD nor scikit-learn.
        from pyod.models.iforest import IForest

        # the trees use no more rows than this, but PyOD would score all rows
        rows = thin_out(rows, max(1000, self.n_trees * self.max_samples), self.seed)
        library = IForest(
            n_estimators=self.n_trees,
            max_samples=min(self.max_samples, len(rows)),
            random_state=self.seed,
        )
        return library.fit(self.coordinates(rows))

    def coordinates(self, x: Array) -> Floats:
        """Return readings (n, d) in the trees' coordinates, (n, d + k)."""
        return affine(bounded(x, _CLIP), self._correlation.centre, self._correlation.views)

    def _adopt(self, library: Any) -> None:
        """Take over the trees of a fitted PyOD ``IForest``."""
        forest = library.detector_
        trees = [estimator.tree_ for estimator in forest.estimators_]
        levels = max(1, *(int(tree.max_depth) for tree in trees))
        shape = (len(trees), 2 ** (levels + 1) - 1)
        self._levels = levels
        self._expected = np.zeros(shape)
        self._feature = np.zeros((len(trees), 2**levels - 1), np.int32)
        self._threshold = np.full(self._feature.shape, np.inf, np.float32)
        for i, (tree, columns) in enumerate(zip(trees, forest.estimators_features_, strict=True)):
            _lay_out(tree, columns, self._feature[i], self._threshold[i], self._expected[i])
        self._norm = len(trees) * float(_path_length(np.array([forest.max_samples_]))[0])
        self._offset = float(forest.offset_)

    def warm(self) -> None:
        """Copy the last level, from which scores are read; see :meth:`Detector.warm`."""
        self._leaf = np.ascontiguousarray(self._expected[:, 2**self._levels - 1 :])
        super().warm()

    def score(self, x: Array) -> Floats:
        """Return PyOD's anomaly score of each row of ``x`` (n, d); see :meth:`Detector.score`."""
        rows = self.coordinates(self.check(x)).astype(np.float32)
        depths = forest_depths(rows, self._feature, self._threshold, self._leaf, self._levels)
        if self._norm == 0.0:
            return np.full(len(depths), 0.5 + self._offset)
        score: Floats = np.exp2(depths / -self._norm) + self._offset
        return score

    def explain(self, x: Array) -> Floats:
        """Return each feature's share in shortening the path; see :meth:`Detector.explain`.

        A cut to a child with far fewer training readings shortens the expected path; the cut's
        feature is credited with the difference. Over a tree the credits sum to expected minus
        actual path length (the additive attribution of Saabas 2014, on path lengths). Coordinates
        with a negative sum get 0. Credits are weighted by the squared coordinate, because paths do
        not grow beyond the outermost cut. The credit of a common movement is divided among its
        features by their part in it.
        """
        rows = self.coordinates(self.check(x))
        cuts = (self._feature, self._threshold, self._expected, self._levels)
        credit = np.maximum(forest_gains(rows.astype(np.float32), *cuts), 0.0)
        credit *= _proportion(rows) ** 2
        d = self.n_features
        gap = _proportion(bounded(x, _CLIP) - self._correlation.centre)
        part = (gap[:, :, None] * self._correlation.common) ** 2  # (n, d, k)
        part /= np.maximum(part.sum(axis=1, keepdims=True), 1e-300)
        return shares(credit[:, :d] + (part * credit[:, None, d:]).sum(axis=2))


def _proportion(x: Floats) -> Floats:
    """Divide each row of ``x`` by its largest absolute value."""
    result: Floats = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-300)
    return result


def _path_length(samples: NDArray[Any]) -> Floats:
    """Return the mean depth of a random search tree with ``samples`` leaves (Liu 2008, eq. 1)."""
    n = samples.astype(np.float64)
    out = np.where(n == 2, 1.0, 0.0)
    many = n > 2
    out[many] = 2 * (np.log(n[many] - 1) + np.euler_gamma) - 2 * (n[many] - 1) / n[many]
    return out


def _lay_out(
    tree: Any,
    columns: NDArray[Any],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float32],
    expected: Floats,
) -> None:
    """Write one scikit-learn tree into the rows of a complete tree, breadth first.

    Below a leaf the complete tree continues with cuts at +inf, which send every reading left, and
    repeats the leaf's path length.
    """
    single = tree.threshold.astype(np.float32)
    above = single.astype(np.float64) > tree.threshold
    single[above] = np.nextafter(single[above], np.float32(-np.inf))
    below = _path_length(tree.n_node_samples)
    todo = [(0, 0, 0)]  # (index in the complete tree, node of the library's tree, depth)
    while todo:
        index, node, depth = todo.pop()
        expected[index] = depth + below[node]
        if tree.children_left[node] >= 0:
            feature[index] = columns[tree.feature[node]]
            threshold[index] = single[node]
            todo.append((2 * index + 1, int(tree.children_left[node]), depth + 1))
            todo.append((2 * index + 2, int(tree.children_right[node]), depth + 1))
            continue
        first, last = 2 * index + 1, 2 * index + 2
        while first < len(expected):
            expected[first : last + 1] = expected[index]
            first, last = 2 * first + 1, 2 * last + 2
