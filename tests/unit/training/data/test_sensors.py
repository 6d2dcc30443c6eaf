"""Machines of several types in one file: each type a group, who lacks too much is named."""

from __future__ import annotations

import numpy as np

from datasets import Stream
from models.bundles.rules import Rule, RuleIndex
from training.data.groups import Grouping
from training.data.sensors import alike, split_by_sensors
from training.data.sources import TrainingData

NAMES = ["vib", "temp", "flow", "current"]


def stream(asset: str, has: str, n: int = 100) -> Stream:
    """Readings of the sensors whose first letters are named."""
    values = np.random.default_rng(len(asset)).normal(size=(n, len(NAMES)))
    values[:, [name[0] not in has for name in NAMES]] = np.nan
    times = np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(60, "s")
    return Stream(asset, None, times, values)


def grouping(*streams: Stream, rules: tuple[Rule, ...] = ()) -> Grouping:
    return Grouping({"default": TrainingData(NAMES, list(streams), "x")}, list(rules))


def test_a_type_with_other_sensors_becomes_a_group_of_its_own_with_its_rule() -> None:
    found = split_by_sensors(
        grouping(stream("PUMP_1", "vtf"), stream("MOTOR_1", "vc"), stream("PUMP_2", "vtf"))
    )
    assert {g: d.feature_names for g, d in found.groups.items()} == {
        "default": ["vib", "temp", "flow"], "default_MOTOR_1": ["vib", "current"],
    }  # fmt: skip
    assert [rule.group for rule in found.rules] == ["default_MOTOR_1", "default"]
    assert RuleIndex([found.rules[0]]).find("MOTOR_1", None, None)
    assert RuleIndex([found.rules[1]]).find("PUMP_9", "S", None)
    assert any("MOTOR_1: lacks temp, flow, which others have" in note for note in found.notes)


def test_a_small_one_is_named_and_left_out() -> None:
    found = split_by_sensors(grouping(stream("PUMP_1", "vtf"), stream("MOTOR_1", "vc", 12)))
    assert list(found.groups) == ["default"]
    assert found.rules == []
    assert found.notes == [
        "MOTOR_1: lacks temp, flow, which others have: left out (12 readings are too few for a"
        " group); --features names what all have"
    ]


def test_who_has_more_joins_without_what_is_beyond() -> None:
    found = split_by_sensors(
        grouping(stream("P1", "vtf"), stream("P2", "vtf"), stream("P3", "vtfc"))
    )
    assert found.groups["default"].feature_names == ["vib", "temp", "flow"]
    assert len(found.groups["default"].streams) == 3
    assert found.notes == ["P3: current not used, since others lack it"]


def test_in_a_retraining_the_groups_are_given() -> None:
    found = split_by_sensors(grouping(stream("P1", "vtf", 300), stream("M", "vc")), fixed=True)
    assert list(found.groups) == ["default"]
    assert any(note.startswith("M: lacks temp, flow") for note in found.notes)


def test_groups_of_one_kind_stay_as_they_are() -> None:
    before = grouping(stream("P1", "vt"), stream("P2", "vt"), rules=(Rule("default"),))
    found = split_by_sensors(before)
    assert found.groups == before.groups
    assert found.rules == before.rules


def test_a_silent_asset_never_leads() -> None:
    lots = alike([stream("OFF", "", 900), stream("P1", "vt")])
    assert [members for _, members in lots] == [[1], [0]]
    found = split_by_sensors(grouping(stream("OFF", "", 900), stream("P1", "vt")))
    assert [s.asset_id for s in found.groups["default"].streams] == ["P1"]
    assert found.notes == ["OFF: hardly anything measured: left out"]
