"""Whether similar readings or correlations impute a feature: decided on later readings."""

import numpy as np

from models.fitting.imputation import impute
from models.fitting.neighbour_fit import fit_neighbours


def precision(rows: np.ndarray) -> np.ndarray:
    return np.linalg.inv(np.corrcoef(rows, rowvar=False))


def cycle(n: int) -> np.ndarray:
    """Rows (n, 5) of a cycle whose features are no linear function of one another, and noise."""
    random = np.random.default_rng(0)
    phase = 2.0 * np.pi * np.arange(n)[:, None] / 20.0
    lag = 1.3 * np.arange(4)
    rows = np.sin(phase + lag) + 0.5 * np.sin(2.0 * phase + lag**2)
    rows = np.concatenate([rows, random.normal(size=(n, 1))], axis=1)
    return rows / rows.std(axis=0) + 0.1 * random.normal(size=(n, 5))


def test_features_of_a_cycle_are_imputed_from_similar_readings_and_noise_is_not() -> None:
    rows = cycle(2000)
    found = fit_neighbours(rows, precision(rows))
    assert found is not None
    assert found.better.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert found.rows.shape == (819, 5)


def test_linear_or_unrelated_features_keep_their_conditional_mean() -> None:
    random = np.random.default_rng(1)
    load = random.normal(size=(2000, 2))
    linear = load @ random.normal(size=(2, 6)) + 0.3 * random.normal(size=(2000, 6))
    linear /= linear.std(axis=0)
    assert fit_neighbours(linear, precision(linear)) is None
    assert fit_neighbours(random.normal(size=(2000, 6)), None) is None


def test_levels_that_wander_are_no_relation() -> None:
    """Readings of the same hour are alike in all features, those of another day are not."""
    steps = np.random.default_rng(2).normal(size=(4000, 4))
    level = np.zeros(4)
    rows = np.empty_like(steps)
    for i, step in enumerate(steps):
        level = 0.99 * level + step
        rows[i] = level
    rows /= rows.std(axis=0)
    found = fit_neighbours(rows, precision(rows))
    assert found is None or found.better.sum() <= 1


def test_few_readings_decide_nothing() -> None:
    assert fit_neighbours(cycle(240), None) is None
    assert fit_neighbours(cycle(2000)[:, :1], None) is None
    assert fit_neighbours(np.zeros((0, 3)), None) is None


def test_training_readings_of_a_cycle_are_imputed_within_it() -> None:
    """By correlations alone the root mean square error is 0.77."""
    whole = 100.0 + 7.0 * cycle(2000)
    holes = whole.copy()
    lacking = np.random.default_rng(3).random(2000) < 0.1
    holes[lacking, 1] = np.nan
    (filled,) = impute([holes], 1)
    assert not np.isnan(filled).any()
    error = (filled[lacking, 1] - whole[lacking, 1]) / 7.0
    assert np.sqrt(np.mean(error**2)) < 0.4


def test_where_hardly_any_reading_could_be_stored_none_is() -> None:
    """Of five stored readings, the ten most similar are all, whatever the reading."""
    rows = np.random.default_rng(0).exponential(size=(300, 800))
    assert fit_neighbours(rows - np.median(rows, axis=0), None) is None
