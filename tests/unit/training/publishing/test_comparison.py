"""The verdict on a challenger: false alarms, faults found, features watched."""

from __future__ import annotations

from math import nan
from types import SimpleNamespace
from typing import cast

import pytest

from models.scoring.model_set import ModelSet
from training.fitting.power import Power
from training.publishing.comparison import Column, _remembered, lost, verdict

BUDGET = 1e-3


def column(rate: float = BUDGET, events=(0, 0), injected=(18, 20), **seen: float) -> Column:
    shares = {("default", feature): share for feature, share in seen.items()}
    return Column("v", {"rate": rate}, None, events, injected, shares)


CHAMPION = column(events=(9, 10), flow=0.9, current=0.4)


@pytest.mark.parametrize(
    "challenger",
    [
        column(events=(9, 10), flow=0.9),
        column(rate=1.9 * BUDGET, events=(9, 10), flow=0.9),  # more alarms, but within bounds
        column(events=(8, 10), flow=0.9),
        column(injected=(17, 20), events=(9, 10), flow=0.72),  # two counts of twenty
        column(events=(9, 10), flow=0.9, current=0.0),  # not watched before either
    ],
)
def test_what_is_not_worse_is_promoted(challenger):
    assert verdict(CHAMPION, challenger, BUDGET)[0]


@pytest.mark.parametrize(
    ("challenger", "why"),
    [
        (column(rate=2.1 * BUDGET, events=(9, 10), flow=0.9), "above 2 times the budget"),
        (column(events=(7, 10), flow=0.9), "7 of 10 labelled faults, the champion 9"),
        (column(injected=(0, 0), events=(9, 10), flow=0.9), "0 of 0 injected faults"),
        (column(injected=(15, 20), events=(9, 10), flow=0.9), "15 of 20 injected faults"),
        (column(events=(9, 10), flow=0.3), "no longer watches flow"),
    ],
)
def test_what_is_worse_stays_challenger_and_says_why(challenger, why):
    better, reason = verdict(CHAMPION, challenger, BUDGET)
    assert not better
    assert why in reason


def test_a_challenger_of_which_no_injected_fault_was_measured_stays_challenger():
    unknown = column(injected=(0, 0), flow=nan, current=nan)
    better, reason = verdict(column(injected=(0, 0), flow=0.9, current=0.4), unknown, BUDGET)
    assert not better
    assert reason.startswith("whether it finds faults is not known of default")
    # nor of the champion
    assert verdict(column(injected=(0, 0), flow=nan), unknown, BUDGET)[0]


def test_a_feature_that_stood_still_need_not_be_measured():
    assert verdict(column(flow=0.9, current=0.9), column(flow=0.9, current=nan), BUDGET)[0]


def test_a_champion_that_alarms_too_often_itself_does_not_bind_the_challenger():
    assert verdict(column(rate=9e-3), column(rate=1e-2), BUDGET)[0]


def test_readings_that_the_champion_mostly_takes_for_anomalies_do_not_make_a_champion():
    for rate in (0.51, 1.0):
        better, reason = verdict(column(rate=rate, injected=(0, 20)), column(), BUDGET)
        assert not better
        assert "which a person must decide" in reason
    assert verdict(column(rate=0.3), column(), BUDGET)[0]


def test_a_challenger_that_sees_more_may_alarm_at_faults_that_nobody_labelled():
    blind, seeing = column(rate=4e-4), column(rate=0.2)
    blind.injected, seeing.injected = (0, 100), (100, 100)
    blind.events = seeing.events = (0, 0)
    better, reason = verdict(blind, seeing, BUDGET)
    assert not better
    assert reason.endswith("real faults that nobody labelled count as false alarms)")
    seeing.events = (1, 1)
    assert "nobody labelled" not in verdict(blind, seeing, BUDGET)[1]


def test_features_lost_name_their_group_where_there_are_several():
    before = Column("1", seen={("a", "x"): 0.9, ("b", "x"): 0.9, ("b", "y"): 0.55})
    after = Column("2", seen={("a", "x"): 0.8, ("b", "y"): 0.45})
    assert lost(before, after) == ["b: x"]  # y: by less than two counts differ


@pytest.mark.parametrize(("twin", "better"), [(True, False), (False, True)])
def test_what_only_the_set_that_serves_does_not_watch_is_lost(twin: bool, better: bool) -> None:
    """Its twin, without the newest readings, detects all; measured itself, it may on new ones."""
    power = Power(shares={"flow": {"step 6 sd": [1.0]}}, lost={"flow": "another unit?"})
    made = cast(ModelSet, SimpleNamespace(feature_names=("flow",), power=power.to_dict()))
    challenger = column(events=(9, 10), flow=1.0)
    _remembered(challenger, "default", made, twin)
    assert verdict(CHAMPION, challenger, BUDGET)[0] is better
    _remembered(other := column(events=(9, 10), flow=1.0), "default", made, twin)
    assert verdict(other, challenger, BUDGET)[0]  # it binds nobody to what it does not watch
