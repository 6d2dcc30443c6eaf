"""The flattened forest against PyOD's own."""

from __future__ import annotations

import numpy as np
import pytest
from pyod.models.iforest import IForest

from models.detectors.isolation_forest import IsolationForest


def cloud(n: int, d: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, 3)) @ draw.normal(size=(3, d)) + draw.normal(size=(n, d))


def library(forest: IsolationForest, rows: np.ndarray) -> IForest:
    """PyOD's forest on the coordinates the detector gives its own; needs no thinning of rows."""
    return IForest(
        n_estimators=forest.n_trees,
        max_samples=min(forest.max_samples, len(rows)),
        random_state=forest.seed,
    ).fit(forest.coordinates(rows))


@pytest.mark.parametrize(
    ("trees", "samples", "n", "d"),
    [(100, 256, 3000, 24), (20, 1000, 2000, 2), (10, 7, 300, 1), (5, 2, 50, 4), (30, 256, 40, 3)],
)
def test_scores_equal_pyod_on_random_and_extreme_readings(
    trees: int, samples: int, n: int, d: int
) -> None:
    rows = cloud(n, d, seed=1)
    forest = IsolationForest(n_trees=trees, max_samples=samples, seed=5).fit([rows])
    near, sign = cloud(300, d, seed=2), np.sign(cloud(60, d, seed=3))
    x = np.concatenate([near, near * 50, sign * 1e6, sign * 1e25, rows[:100], np.zeros((1, d))])
    expected = library(forest, rows).decision_function(forest.coordinates(x))
    np.testing.assert_allclose(forest.score(x), expected, rtol=0, atol=1e-9)


def test_readings_on_a_cut_go_the_librarys_way() -> None:
    # Whole numbers: the library puts cuts anywhere, but many float32 neighbours of a cut are hit.
    rows = np.random.default_rng(0).integers(0, 4, size=(500, 2)).astype(float)
    forest = IsolationForest(n_trees=50, max_samples=64).fit([rows])
    reference = library(forest, rows)
    tree = reference.detector_.estimators_[0].tree_
    cuts = tree.threshold[tree.feature == 0]
    single = cuts.astype(np.float32)
    near = [np.nextafter(single, np.float32(side)) for side in (-np.inf, np.inf)]
    values = np.concatenate([cuts, single, *near]).astype(np.float64)
    places = np.stack([values, np.zeros_like(values)], axis=1)
    # Undo the coordinates, so that the forest meets exactly these places.
    forest.coordinates = lambda x: np.asarray(x, np.float64)  # type: ignore[method-assign]
    expected = reference.decision_function(places)
    np.testing.assert_allclose(forest.score(places), expected, rtol=0, atol=1e-9)


def test_gains_add_up_to_the_shortening_of_the_path() -> None:
    from models.detectors.kernels import forest_depths, forest_gains

    rows = cloud(1000, 4, seed=1)
    forest = IsolationForest(n_trees=20).fit([rows])
    place = forest.coordinates(rows[:50]).astype(np.float32)
    cuts = (forest._feature, forest._threshold)
    gains = forest_gains(place, *cuts, forest._expected, forest._levels).sum(axis=1)
    depths = forest_depths(place, *cuts, forest._leaf, forest._levels)
    np.testing.assert_allclose(gains, forest._expected[:, 0].sum() - depths, atol=1e-9)


def test_a_fault_that_breaks_the_correlation_is_seen_among_many_sensors() -> None:
    draw = np.random.default_rng(4)
    common = draw.normal(size=(2100, 1))
    rows = common + 0.2 * draw.normal(size=(2100, 8))
    forest = IsolationForest(seed=0).fit([rows[:2000]])
    faulty = rows[2000:].copy()
    faulty[:, 5] += 2.0  # two standard deviations: alone, nothing special
    usual = forest.score(rows[2000:])
    assert (forest.score(faulty) > np.quantile(usual, 0.95)).mean() > 0.9
    assert (forest.explain(faulty).argmax(axis=1) == 5).mean() > 0.9


def test_many_rows_are_thinned_out_before_pyod_sees_them() -> None:
    forest = IsolationForest(n_trees=10, max_samples=100)
    rows = cloud(20_000, 2, seed=1)
    forest.fit([rows])
    assert np.isfinite(forest.score(rows[:10])).all()
