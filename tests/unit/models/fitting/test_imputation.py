"""Missing values of training readings: filled with what the others lead to expect."""

import numpy as np

from models.fitting.garbage.cleaning import clean
from models.fitting.imputation import impute


def test_filled_values_follow_what_the_others_lead_to_expect() -> None:
    random = np.random.default_rng(0)
    load = random.normal(size=(500, 1))
    whole = np.array([5.0, -3, 100, 0, 1]) + (load + 0.1 * random.normal(size=(500, 5))) * 2
    values = whole.copy()
    values[::5, 2] = np.nan
    values[7, :3] = np.nan
    (filled,) = impute([values], 1)
    assert np.isnan(filled).sum() == 3
    assert np.isnan(filled[7, :3]).all()
    error = filled[::5, 2] - whole[::5, 2]
    assert np.sqrt(np.mean(error**2)) < 0.4 * whole[:, 2].std()
    known = ~np.isnan(values)
    np.testing.assert_array_equal(filled[known], values[known])


def test_little_data_fill_with_the_level() -> None:
    values = np.array([[1.0, 2], [3, np.nan], [5, 6]])
    (filled,) = impute([values], 1)
    assert filled[1, 1] == 4.0


def test_features_that_stand_elsewhere_in_complete_readings_correlate_with_nothing() -> None:
    values = np.random.default_rng(0).normal(size=(70, 4))
    values[:, 2:] = np.arange(70)[:, None] < 40  # 1 where the second value is missing, then 0
    values[:40, 1] = np.nan
    filled = impute([values[:40], values[40:55], values[55:]], 1)[0]
    assert (np.abs(filled[:, 1]) < 2.0).all()


def test_a_code_for_not_measured_is_as_good_as_a_hole() -> None:
    """A file that says -200 and one that leaves the cell empty are fitted on the same readings."""
    random = np.random.default_rng(1)
    values = 20 + random.normal(size=(1000, 1)) + 0.1 * random.normal(size=(1000, 5))
    holes = values.copy()
    holes[::10, 1] = np.nan
    holes[5::100, :2] = np.nan  # more than one of five is too much
    codes = np.where(np.isnan(holes), -200.0, holes)
    (expected,) = impute([holes], 1)
    found = clean([codes], None, list("abcde"), lambda width: 1)
    np.testing.assert_allclose(found.streams[0], expected[~np.isnan(expected).any(axis=1)])
    assert len(found.streams[0]) == 990
    assert any("100 of 1,000 readings" in note and "imputed" in note for note in found.notes)
    assert any("10 of 1,000 readings" in note and "left out" in note for note in found.notes)


def test_readings_that_lack_too_much_for_the_features_in_use_are_named() -> None:
    """Of five features one reading may lack one, of the four that are left of them none."""
    values = np.random.default_rng(2).normal(size=(1000, 5))
    values[::100, 1] = np.nan
    values[:600, 4] = 65535.0  # mostly no measurement
    found = clean([values], None, list("abcde"), lambda width: int(width >= 5))
    assert len(found.streams[0]) == 990
    assert any("10 of 1,000 readings lack more values than may" in note for note in found.notes)


def test_a_machine_that_mostly_holds_still_is_imputed_while_it_moves() -> None:
    """Most readings hold one position and only scatter; the moves go ten times as far."""
    random = np.random.default_rng(31)
    moves = np.repeat(random.random(300) < 0.2, 10)
    position = random.normal(0.0, 0.3, 3000) + np.where(moves, random.uniform(-3.0, 3.0, 3000), 0.0)
    noise = random.normal(0.0, 0.1, (3000, 5))
    whole = np.array([5.0, -3.0, 100.0, 0.0, 1.0]) + position[:, None] * [1, 2, -1, 0.5, 3] + noise
    holes = np.zeros(whole.shape, bool)
    holes[np.arange(0, 3000, 4), random.integers(0, 5, 750)] = True
    (filled,) = impute([np.where(holes, np.nan, whole)], 1)
    errors = np.abs(filled - whole)[moves[:, None] & holes]
    assert np.quantile(errors, 0.95) < 0.6


def test_rare_error_codes_do_not_blur_what_is_imputed() -> None:
    """Their readings are left out afterwards, and what is missing elsewhere is imputed before."""
    random = np.random.default_rng(32)
    whole = 20 + random.normal(size=(3000, 1)) + 0.1 * random.normal(size=(3000, 2))
    values = whole.copy()
    values[::10, 1] = np.nan
    values[random.permutation(3000)[:24], 0] = 1e6  # too rare to mean "not measured"
    (found,) = clean([values], None, list("ab"), lambda width: 1).streams
    kept = values[:, 0] < 1e6
    errors = (found - whole[kept])[np.isnan(values[kept])]
    assert len(found) == kept.sum()
    assert np.abs(errors).std() < 0.2
