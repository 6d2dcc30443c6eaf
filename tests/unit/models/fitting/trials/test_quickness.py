"""How quickly a tail adapts is decided on readings far from those that were fitted on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import lfilter

from models.fitting.trials import quickness
from models.fitting.trials.following import Tried
from models.fitting.trials.quickness import BY_OFFSET, PACES, USUAL, Basis, choose_pace
from models.fitting.trials.ways_of_scoring import Fold
from models.scoring.magnitudes.adaptation import AdaptationParams

WIDE, BARE = Basis(800, 0.1, slow=False), Basis(0, 0.1, slow=False)


def wandering(much: float, n: int, d: int) -> np.ndarray:
    """Readings (n, d) whose levels walk, by so much a reading, under what lasts a few readings."""
    random = np.random.default_rng(4)
    noise = lfilter([0.7], [1, -0.7], random.normal(size=(n, d)), axis=0)
    rows: np.ndarray = noise + np.cumsum(random.normal(0, much, (n, d)), axis=0)
    return rows


def test_a_pace_that_holds_is_left_as_it_is() -> None:
    asked: list[int] = []

    def bare() -> Basis:
        asked.append(1)
        return BARE

    found = choose_pace([wandering(0.0, 1500, 2)], WIDE, bare)
    assert found is not None
    usual, chosen = found
    assert chosen is usual
    assert (usual.basis, usual.how) == (WIDE, USUAL)
    assert asked == [], "without an allowance nothing was tried"
    assert choose_pace([wandering(0.0, 150, 2)], WIDE, bare) is None, "too few to judge"


@pytest.mark.slow
def test_levels_that_go_further_than_known_are_followed_more_quickly_and_by_the_offset() -> None:
    found = choose_pace([wandering(0.1, 3000, 10)], BARE, None)
    assert found is not None
    usual, chosen = found
    assert usual.fails
    assert chosen.holds
    assert chosen.how.rate in [times * USUAL.rate for times in PACES[1:]]
    assert (chosen.how.pace, chosen.how.max_stretch) == (BY_OFFSET.pace, BY_OFFSET.max_stretch)
    assert chosen.power > 0.4


@pytest.mark.slow
def test_scatter_that_grows_is_followed_by_the_stretch() -> None:
    """An offset would not do: what grows is how far the readings of normal operation lie apart."""
    grows = 1.0 + 1.5 * np.linspace(0.0, 1.0, 3000)[:, None] ** 2
    found = choose_pace([grows * np.random.default_rng(1).normal(size=(3000, 3))], BARE, None)
    assert found is not None
    usual, chosen = found
    assert usual.fails
    assert chosen.holds
    assert chosen.how.max_stretch == USUAL.max_stretch


def test_of_the_allowance_and_none_the_one_that_shows_more_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both hold at twice the usual pace; of two faults one alarms without the allowance, too."""

    def far(fold: Fold, basis: Basis, seed: int, k: int) -> Callable[[AdaptationParams], Tried]:
        def trial(how: AdaptationParams) -> Tried:
            alarms = 900 if how.rate == USUAL.rate else 1
            return [np.full(40, True), np.full(40, basis is more)], alarms, 1000

        return trial

    monkeypatch.setattr(quickness, "_far_trial", far)
    for more in (WIDE, BARE):
        found = choose_pace([wandering(0.0, 1500, 2)], WIDE, lambda: BARE)
        assert found is not None
        assert (found[1].basis, found[1].power) == (more, 1.0)
        assert found[1].how.rate == 2 * USUAL.rate


@pytest.mark.parametrize(("alarms", "by_offset"), [(20, True), (33, True), (60, False)])
def test_by_the_offset_is_better_unless_it_clearly_alarms_too_much(
    monkeypatch: pytest.MonkeyPatch, alarms: int, by_offset: bool
) -> None:
    """3.3 budgets in 10,000 readings are within chance of the 3 that hold; 6 are not."""

    def far(fold: Fold, basis: Basis, seed: int, k: int) -> Callable[[AdaptationParams], Tried]:
        def trial(how: AdaptationParams) -> Tried:
            if how.rate < 8 * USUAL.rate:
                return [np.full(40, True)] * 2, 900, 10_000
            found = 25 if how.max_stretch == USUAL.max_stretch else alarms
            return [np.full(40, True)] * 2, found, 10_000

        return trial

    monkeypatch.setattr(quickness, "far_folds", lambda streams: [([], [])])
    monkeypatch.setattr(quickness, "_far_trial", far)
    found = choose_pace([wandering(0.0, 1500, 2)], BARE, None)
    assert found is not None
    assert found[1].how.rate == 8 * USUAL.rate
    assert (found[1].how.max_stretch == BY_OFFSET.max_stretch) is by_offset
