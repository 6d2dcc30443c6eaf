"""A machine of another kind hides no faults of the others in its group."""

from __future__ import annotations

import numpy as np
import pytest

from datasets import Stream
from models.bundles.rules import Rule, RuleIndex
from training.data.groups import Grouping
from training.data.other_kinds import other_kinds, split_by_kind
from training.data.sources import TrainingData

NAMES = ["press", "temp", "flow", "power"]
LEVELS = np.array([8.0, 60.0, 20.0, 5.0])


def stream(
    asset: str, shift: float = 0.0, scatter: float = 1.0, n: int = 200, columns: int = 4
) -> Stream:
    """Readings of which the first columns are shifted, and scatter more."""
    values = np.random.default_rng(sum(map(ord, asset))).normal(size=(n, len(NAMES)))
    values[:, :columns] = values[:, :columns] * scatter + shift
    times = np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(60, "s")
    return Stream(asset, None, times, LEVELS + values)


def grouping(*streams: Stream, rules: tuple[Rule, ...] = ()) -> Grouping:
    return Grouping({"default": TrainingData(NAMES, list(streams), "x")}, list(rules))


PUMPS = tuple(stream(f"P{i}") for i in range(8))


def assets(found: Grouping) -> dict[str, list[str]]:
    return {group: [s.asset_id for s in data.streams] for group, data in found.groups.items()}


@pytest.mark.parametrize(("shift", "scatter"), [(100.0, 1.0), (100.0, 20.0), (0.0, 20.0)])
def test_it_becomes_a_group_of_its_own_with_its_rule_and_is_named(
    shift: float, scatter: float
) -> None:
    found = split_by_kind(grouping(*PUMPS[:3], stream("C1", shift, scatter), *PUMPS[3:]))
    assert assets(found) == {"default": [f"P{i}" for i in range(8)], "default_C1": ["C1"]}
    index = RuleIndex(found.rules)
    served = [index.find(asset, None, None) for asset in ("P1", "C1", "NEW")]
    assert [rule.group for rule in served if rule] == ["default", "default_C1", "default"]
    assert found.notes == [
        "C1: press, temp, flow, power usually lie far beyond all that most other streams do"
        " (another kind of machine?): a group of its own, 'default_C1' (--group-by and --groups"
        " name others)"
    ]


def test_those_of_one_kind_share_a_group_and_those_of_a_third_do_not() -> None:
    odd = stream("C1", 100.0), stream("C2", 101.0), stream("T1", 900.0, 30.0)
    found = split_by_kind(grouping(*PUMPS, *odd))
    assert assets(found) == {
        "default": [f"P{i}" for i in range(8)], "default_C1": ["C1", "C2"], "default_T1": ["T1"],
    }  # fmt: skip


def test_a_small_one_is_left_out_but_keeps_the_rule_of_a_former_group() -> None:
    found = split_by_kind(grouping(*PUMPS, stream("C1", 100.0, n=40)))
    assert list(found.groups) == ["default"]
    assert found.rules[0] == Rule("default_C1", "C1", "")
    assert found.notes[0].endswith("group 'default', where they will alarm")


def test_in_a_retraining_of_one_group_it_is_left_out() -> None:
    found = split_by_kind(grouping(*PUMPS, stream("C1", 100.0)), fixed=True)
    assert (list(assets(found)["default"]), found.rules) == ([f"P{i}" for i in range(8)], [])
    assert found.notes[0].endswith("by group 'default', where they may alarm")


def test_groups_that_somebody_named_stay_and_a_note_warns() -> None:
    before = grouping(*PUMPS, stream("C1", 100.0), rules=(Rule("default"),))
    found = split_by_kind(before, named=True)
    assert (found.groups, found.rules) == (before.groups, before.rules)
    assert found.notes[0].endswith("in one group they hide faults")


def test_a_machine_of_which_one_sensor_differs_is_of_the_same_kind() -> None:
    before = grouping(*PUMPS, stream("P9", 100.0, 20.0, columns=1))
    assert assets(split_by_kind(before)) == assets(before)


@pytest.mark.parametrize("kinds", [(0.0, 100.0), (0.0, 0.0, 100.0, 100.0), (0.0, 100.0, 200.0)])
def test_where_no_kind_is_most_of_them_none_is_odd(kinds: tuple[float, ...]) -> None:
    streams = [stream(f"P{i}", shift) for i, shift in enumerate(kinds)]
    assert other_kinds(TrainingData(NAMES, streams, "x")) == []


@pytest.mark.parametrize("seed", range(20))
def test_machines_at_levels_loads_sizes_and_ages_of_their_own_are_of_one_kind(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.datetime64("2026-01-01", "us") + np.arange(300) * np.timedelta64(60, "s")
    streams = []
    for i in range(int(rng.integers(3, 15))):
        runs = rng.random(300) < (0.9 if i == 0 else 0.05)  # the others idle nearly always
        load = np.where(runs, rng.uniform(50, 100), 0.0) + rng.normal(size=300)
        size = 2.0 ** rng.uniform(-2, 2)
        values = np.column_stack([
            load, size * 0.3 * load + rng.normal(size=300),
            rng.normal(50.0, 20.0) + rng.normal(size=300),  # a level of its own
            rng.uniform(10, 50_000) + np.arange(300) / 60,  # operating hours
        ])  # fmt: skip
        streams.append(Stream(f"P{i}", None, times, values))
    assert other_kinds(TrainingData(NAMES, streams, "x")) == []


@pytest.mark.parametrize("many", [3, 8])
def test_the_one_on_duty_is_of_the_kind_of_those_on_standby(many: int) -> None:
    """In a group of its own, it and the next on duty would alarm as soon as they take turns."""
    times = np.datetime64("2026-01-01", "us") + np.arange(300) * np.timedelta64(60, "s")
    streams = []
    for i in range(many):
        rng = np.random.default_rng(i)
        load = (50.0 if i == 0 else 0.0) + rng.normal(size=300)
        values = np.column_stack([
            load, 0.3 * load + 0.3 * rng.normal(size=300),
            20.0 + 0.1 * load + rng.normal(size=300), 5.0 + 0.1 * rng.normal(size=300),
        ])  # fmt: skip
        streams.append(Stream(f"P{i}", None, times, values))
    assert other_kinds(TrainingData(NAMES, streams, "x")) == []
