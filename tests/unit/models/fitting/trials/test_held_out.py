"""Readings fitted on are scored as if held out, where a fit would know them by heart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.signal import lfilter

from models.arrays import Floats
from models.detectors.covariance import scarce
from models.fitting.trials.distance import Scoring, fit_distance
from models.fitting.trials.held_out import own_magnitudes
from models.fitting.trials.injection import Fault
from models.fitting.trials.tolerance import choose_horizon, choose_shrinkage
from models.fitting.trials.ways_of_scoring import later_blocks, try_smoothings


def white(n: int, d: int) -> Floats:
    out: Floats = np.random.default_rng(0).normal(size=(n, d))
    return out


def numbered(n: int, first: int) -> Floats:
    """Return readings of thirty features, so few that they are scarce; the first is a number."""
    values = white(n, 30)
    values[:, 0] = np.arange(first, first + n)
    return values


def test_readings_are_scarce_by_features_and_by_repetition() -> None:
    assert scarce(white(1_000, 40))
    assert not scarce(white(2_000, 40))
    assert not scarce(white(100, 1))
    slow = lfilter([1.0], [1.0, -0.9], white(2_000, 40), axis=0)
    assert scarce(slow)


def test_a_reading_is_scored_by_its_neighbours_but_not_by_itself() -> None:
    fitted: list[Floats] = []

    def fit(pieces: list[Floats]) -> Sequence[Scoring]:
        numbers = np.concatenate([piece[:, 0] for piece in pieces])
        fitted.append(numbers)
        assert all((np.diff(piece[:, 0]) == 1).all() for piece in pieces)
        return [lambda values: np.isin(values[:, 0], numbers).astype(float), lambda v: v[:, 0]]

    streams = [numbered(530, 0), numbered(60, 1_000)]
    known, numbers = own_magnitudes(streams, fit(streams), fit)
    for stream, held, own in zip(streams, known, numbers, strict=True):
        assert own.tolist() == stream[:, 0].tolist()  # in order, none left out
        assert not held.any()
    assert len(fitted) == 1 + 5
    assert all(len(part) >= 0.6 * len(fitted[0]) for part in fitted[1:])


@pytest.mark.parametrize("streams", [[white(5_000, 3)], [white(200, 30)]])
def test_with_readings_enough_or_too_few_it_is_the_fit_on_all(streams: list[Floats]) -> None:
    (own,) = own_magnitudes(streams, [lambda values: values[:, 0]], lambda _: pytest.fail("fitted"))
    assert own[0].tolist() == streams[0][:, 0].tolist()


def test_more_features_are_no_drift() -> None:
    """A threshold from readings fitted on has 30 times its budget on later ones."""
    values = white(3_000, 100)
    fold = later_blocks([values])[0]

    def fit(pieces: list[Floats]) -> list[Scoring]:
        return [fit_distance(pieces, 0, 0.1)[0]]

    (score,) = scores = fit(fold[0])
    none: list[list[tuple[Fault, Floats]]] = [[]]
    (own,) = own_magnitudes(fold[0], scores, fit)
    _, held_out = try_smoothings(score, lambda raw: raw[None], 0, fold, none, own)
    _, fitted_on = try_smoothings(score, lambda raw: raw[None], 0, fold, none)
    assert held_out[0] < 3.0
    assert fitted_on[0] > 5.0
    assert choose_horizon([values])[0] == 0


@pytest.mark.parametrize(("alike", "expected"), [(0.0, {1.0}), (2.0, {0.1, 0.03, 0.01})])
def test_scarce_readings_decide_whether_correlations_are_used(
    alike: float, expected: set[float]
) -> None:
    draw = np.random.default_rng(0)
    slow = lfilter([0.436], [1.0, -0.9], draw.normal(size=(2_000, 63)), axis=0)
    common = alike * slow[:, :3] @ draw.normal(size=(3, 60))
    assert choose_shrinkage([common + slow[:, 3:]], 0) in expected


def related(keeps: float, noise: float, later: float) -> Floats:
    """Return (3000, 4): two slow values and two mixtures of them, with noise that changes late."""
    draw = np.random.default_rng(4)
    slow = lfilter([1.0], [1.0, -keeps], draw.normal(size=(3_000, 2)), axis=0)
    mixed = slow / slow.std(axis=0) @ [[1.0, 0.0, 1.0, 0.3], [0.0, 1.0, 0.3, 1.0]]
    scatter = np.where(np.arange(3_000) < 1_800, noise, later)[:, None]
    return mixed + scatter * draw.normal(size=(3_000, 4))


@pytest.mark.parametrize(
    ("keeps", "noise", "later", "expected"),
    [(0.998, 0.003, 0.003, {0.003, 0.001}), (0.9, 1.0, 1.0, {0.1}), (0.998, 0.003, 0.1, {0.01})],
    ids=["close", "loose", "close at first"],
)
def test_a_close_relation_is_watched_as_closely_as_later_readings_keep_it(
    keeps: float, noise: float, later: float, expected: set[float]
) -> None:
    assert choose_shrinkage([related(keeps, noise, later)], 0) in expected
