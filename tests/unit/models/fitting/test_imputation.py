"""Missing values of training readings: filled with what the others lead to expect."""

import numpy as np

from models.fitting.cleaning import clean
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
