"""A machine that reports a feature in another unit hides no faults of the others."""

from __future__ import annotations

import numpy as np
import pytest

from datasets import Stream
from models.bundles.rules import Rule, RuleIndex
from training.data.groups import Grouping
from training.data.other_units import other_units, split_by_units
from training.data.sources import TrainingData

NAMES = ["press", "temp"]


def stream(asset: str, factor: float = 1.0, n: int = 100, sensor: str | None = None) -> Stream:
    """Readings of which the pressure is multiplied."""
    values = np.random.default_rng(len(asset)).normal((8.0, 60.0), (0.6, 4.0), (n, 2))
    values[:, 0] *= factor
    times = np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(60, "s")
    return Stream(asset, sensor, times, values)


def grouping(*streams: Stream, name: str = "default", rules: tuple[Rule, ...] = ()) -> Grouping:
    return Grouping({name: TrainingData(NAMES, list(streams), "x")}, list(rules))


PLANT = (stream("P1"), stream("P2", 1000), stream("P3"), stream("P4"))


def assets(found: Grouping) -> dict[str, list[str]]:
    return {group: [s.asset_id for s in data.streams] for group, data in found.groups.items()}


def test_it_becomes_a_group_of_its_own_with_its_rule_and_is_named_with_both_levels() -> None:
    found = split_by_units(grouping(*PLANT))
    assert assets(found) == {"default": ["P1", "P3", "P4"], "default_P2": ["P2"]}
    index = RuleIndex(found.rules)
    served = [index.find(asset, None, None) for asset in ("P1", "P2", "NEW")]
    assert [rule.group for rule in served if rule] == ["default", "default_P2", "default"]
    levels = [np.median(one.values[:, 0]) for one in (PLANT[1], PLANT[0])]
    assert found.notes == [
        f"P2: press lies at {levels[0]:.4g}, that of the others at {levels[1]:.4g} (another unit?):"
        " a group of its own, 'default_P2' (--group-by and --groups name others)"
    ]


@pytest.mark.parametrize("from_row", [40, 50, 60, 80])
def test_a_unit_that_changes_in_the_middle_is_seen(from_row: int) -> None:
    changed = stream("P2", 1, 100)
    changed.values[from_row:, 0] *= 1000
    found = split_by_units(grouping(PLANT[0], changed, *PLANT[2:]))
    assert assets(found) == {"default": ["P1", "P3", "P4"], "default_P2": ["P2"]}
    level = np.median(changed.values[from_row:, 0])
    assert (
        f"press lies at {level:.4g} in {100 - from_row}% of its readings, that of" in found.notes[0]
    )


def test_those_in_the_same_unit_share_a_group_and_those_in_a_third_do_not() -> None:
    found = split_by_units(grouping(*PLANT, stream("P5"), stream("P6", 1100), stream("P7", 1e5)))
    assert assets(found) == {
        "default": ["P1", "P3", "P4", "P5"], "default_P2": ["P2", "P6"], "default_P7": ["P7"],
    }  # fmt: skip


def test_sensors_of_one_asset_in_other_units_have_groups_of_their_own() -> None:
    found = split_by_units(
        grouping(
            *PLANT[::2], stream("P4"), stream("P5"), stream("P2", 1000), stream("P2", 1e6, 100, "S")
        )
    )
    assert list(found.groups) == ["default", "default_P2", "default_P2_2"]


def test_a_small_one_is_left_out_but_keeps_the_rule_of_a_former_group() -> None:
    found = split_by_units(grouping(stream("P1"), stream("P2", 1000, 12), stream("P3")))
    assert assets(found) == {"default": ["P1", "P3"]}
    assert found.rules[0] == Rule("default_P2", "P2", "")
    assert found.notes[0].endswith("group 'default', where they will alarm")


def test_in_a_retraining_of_one_group_the_groups_are_given() -> None:
    found = split_by_units(grouping(*PLANT), fixed=True)
    assert (assets(found), found.rules) == ({"default": ["P1", "P3", "P4"]}, [])
    assert found.notes[0].endswith("by group 'default', where they may alarm")


@pytest.mark.parametrize("name", ["default", "pumps"])
def test_groups_that_somebody_named_stay_and_a_note_warns(name: str) -> None:
    before = grouping(*PLANT, name=name, rules=(Rule(name),))
    found = split_by_units(before, named=True)
    assert (found.groups, found.rules) == (before.groups, before.rules)
    assert "P2: press lies at" in found.notes[0]
    assert found.notes[0].endswith("they hide smaller faults of each other")


@pytest.mark.parametrize("seed", range(10))
def test_machines_at_other_loads_of_other_sizes_and_ages_are_in_one_unit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.datetime64("2026-01-01", "us") + np.arange(300) * np.timedelta64(60, "s")
    streams = []
    for i in range(9):
        load = rng.uniform(0.1, 1.0) + 0.02 * np.cumsum(rng.normal(size=300)) / 17
        values = np.column_stack([
            2.0 ** rng.uniform(-2, 2) * (load + 0.001 * rng.normal(size=300)),  # sizes
            (0.0 if i % 3 else 40.0) + 1e-3 * rng.normal(size=300),  # set points
            rng.uniform(10, 50_000) + np.arange(300) / 60,  # operating hours
            np.where(rng.random(300) < 0.2, 10 ** rng.normal(3, 1, 300), rng.random(300)),  # bursts
            np.full(300, -999.0) if i == 4 else rng.normal(size=300),  # a broken sensor
        ])  # fmt: skip
        streams.append(Stream(f"P{i}", None, times, values))
    data = TrainingData(list("abcde"), streams, "x")
    assert [one for one in other_units(data) if one.scatters] == []
    assert list(split_by_units(Grouping({"default": data})).groups) == ["default"]
