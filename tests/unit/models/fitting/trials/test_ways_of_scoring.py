"""Trials on readings not fitted on: folds, injected steps, what is seen at a kept budget."""

from __future__ import annotations

import numpy as np
import pytest

from models.fitting.calibration.calibrate import ewma
from models.fitting.trials.distance import fit_distance
from models.fitting.trials.injection import Fault
from models.fitting.trials.swiftness import SWIFTNESSES, choose_swiftness
from models.fitting.trials.tolerance import choose_horizon
from models.fitting.trials.ways_of_scoring import BUDGET, Steps, later_blocks, seen, try_smoothings

NORMAL = np.random.default_rng(0).normal(size=(4000, 3))


def test_each_block_but_the_first_is_tried_on_what_follows_all_before_it() -> None:
    stream = np.arange(500.0)[:, None]
    folds = later_blocks([stream, stream[:199]])  # the second is too short for blocks
    assert [(len(known[0]), len(other[0])) for known, other in folds] == [
        (100, 100), (200, 100), (300, 100), (400, 100),
    ]  # fmt: skip
    for known, other in folds:
        assert len(known) == len(other) == 1
        assert other[0][0, 0] == known[0][-1, 0] + 1
    assert later_blocks([stream[:199]]) == []


def test_blocks_too_short_for_so_many_features_show_nothing() -> None:
    """Whatever is fitted on 60 readings of 30 features alarms on the next: that is no drift."""
    wide = np.random.default_rng(1).normal(size=(1000, 30))
    assert [len(known[0]) for known, _ in later_blocks([wide])] == [400, 600, 800]
    assert [len(known) for known, _ in later_blocks([wide, wide])] == [2, 2, 2, 2]
    assert choose_horizon([wide[:300, :]]) == (0, [])


def test_blocks_before_which_nothing_moved_are_left_out() -> None:
    """A disk that writes now and then: a training on it failed on the first quiet fifth."""
    writes = np.zeros((1000, 1))
    writes[[450, 451, 700]] = [[3e6], [5e6], [1e6]]
    assert [len(known[0]) for known, _ in later_blocks([writes])] == [600, 800]
    assert choose_swiftness([writes], 0, 0.1)[0] in SWIFTNESSES
    assert later_blocks([np.zeros((1000, 1))]) == []


def test_steps_of_each_size_and_length_change_their_own_readings_alone() -> None:
    plan = Steps((1.0, 4.0), (10, 500), count=3, streams=1, part=4)
    spread = np.array([1.0, 10.0, 100.0])
    streams = [NORMAL[:400], NORMAL[400:800]]
    (changed,) = plan.inject(streams, spread, np.random.default_rng(1))
    assert len(changed) == 2 * 2 * 3
    assert {len(fault.columns) for fault, _ in changed} == {1, 2, 3}
    assert {fault.length for fault, _ in changed} == {10, 100}  # no longer than a quarter
    for fault, part in changed:
        difference = part - streams[0][fault.start : fault.end]
        expected = np.zeros(3)
        expected[list(fault.columns)] = fault.size * np.array(fault.signs)
        np.testing.assert_allclose(difference / spread, np.tile(expected, (fault.length, 1)))
    again = plan.inject(streams, spread, np.random.default_rng(1))[0]
    assert [fault for fault, _ in again] == [fault for fault, _ in changed]


def test_a_reading_shows_a_step_only_where_it_alarms_and_would_not_without() -> None:
    calm = [np.array([0.0, 9.0, 0.0, 0.0])]
    fault = Fault("step", 1, 3, (0,), 1.0, (1,))
    context_and_own = np.array([50.0, 8.0, 3.0, 6.0])  # the first is what went before
    (shown,) = seen(calm, 5.0, [[(fault, context_and_own)]])
    assert shown.tolist() == [False, False, True]


@pytest.mark.parametrize("noise", [1.0, 5.0])
def test_more_is_seen_of_larger_steps_and_no_way_sees_more_by_alarming_more(noise: float) -> None:
    """Later readings five times as noisy alarm far more; what is seen holds the budget there."""
    fold = ([NORMAL[:2000]], [noise * NORMAL[2000:]])
    score, spread = fit_distance(fold[0], 0, 0.1)
    shares = []
    for size in (0.0, 2.0, 40.0):
        faulty = Steps((size,), (20,), 30, 1).inject(fold[1], spread, np.random.default_rng(2))
        shown, surplus = try_smoothings(score, lambda raw: raw[None], 0, fold, faulty)
        shares.append(float(np.mean([one.mean() for one in shown])))
    assert shares[0] == 0.0  # no step, nothing new
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.9
    if noise == 1.0:
        assert surplus[0] < 3.0
        assert shares[1] > 5 * BUDGET
    else:
        assert surplus[0] > 20.0
        assert shares[1] < 0.2


def test_a_smoothing_goes_on_from_the_readings_before_the_step() -> None:
    """A running maximum over its memory: without those readings the step would show."""
    fold = ([np.zeros((200, 1))], [np.zeros((200, 1))])
    fold[1][0][95] = 3.0
    faulty = [[(Fault("step", 100, 5, (0,), 1.0, (1,)), np.full((5, 1), 2.0))]]

    def smoothing(raw: np.ndarray) -> np.ndarray:
        highest = [raw[..., max(0, i - 9) : i + 1].max(axis=-1) for i in range(raw.shape[-1])]
        return np.stack([raw, np.stack(highest, axis=-1)])

    remembered, _ = try_smoothings(lambda v: v[:, 0], smoothing, 10, fold, faulty)
    forgotten, _ = try_smoothings(lambda v: v[:, 0], smoothing, 1, fold, faulty)
    assert remembered[0].mean(axis=1).tolist() == [1.0, 0.0]
    assert forgotten[0].mean(axis=1).tolist()[0] == 1.0


def test_steps_are_smoothed_side_by_side_as_one_by_one() -> None:
    """Bit for bit, whatever their lengths and however near the start of the stream they are."""
    fold = ([NORMAL[:400]], [NORMAL[400:600]])
    score, spread = fit_distance(fold[0], 0, 0.1)
    faulty = Steps((1.0, 3.0), (1, 7, 30), 5, 1).inject(fold[1], spread, np.random.default_rng(4))
    alone: list[np.ndarray] = []

    def smoothing(raw: np.ndarray) -> np.ndarray:
        return np.stack([ewma(raw, np.median(raw, axis=-1), weight) for weight in (0.3, 0.8)])

    together, _ = try_smoothings(score, smoothing, 20, fold, faulty)
    for one in faulty[0]:
        alone += try_smoothings(score, smoothing, 20, fold, [[one]])[0]
    assert len(together) == 30
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    rows = np.stack([score(NORMAL[at : at + 50]) for at in (0, 50, 100)])
    assert np.array_equal(smoothing(rows), np.stack([smoothing(row) for row in rows], axis=1))
