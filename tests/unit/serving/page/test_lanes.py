"""Lanes as runs of equal steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schemas import Criticality
from serving.page.lanes import marks, rows, worst_first
from serving.swim_lanes import AssetLane, FleetLanes, Step

START = datetime(2026, 1, 1, tzinfo=UTC)


def fleet(*lanes: AssetLane) -> FleetLanes:
    steps = len(lanes[0].states)
    return FleetLanes(START, START + steps * timedelta(seconds=1800), 1800, list(lanes))


def lane(asset: str, states: str, severities: dict[int, Criticality] | None = None) -> AssetLane:
    """``n`` normal, ``a`` anomaly, ``o`` off, ``.`` silent."""
    words: dict[str, Step] = {"n": "normal", "a": "anomaly", "o": "off", ".": "silent"}
    given = severities or {}
    found = [words[one] for one in states]
    scores = [None if one == "silent" else 0.83 if one == "anomaly" else 0.1 for one in found]
    return AssetLane(asset, START, found, scores, [given.get(at) for at in range(len(states))])


def test_equal_steps_are_one_run_and_what_is_well_is_none() -> None:
    [row] = rows(fleet(lane("A", "nnooaa.n", {4: "high", 5: "high"})), wrong_only=False)
    assert [(run.kind, run.left, run.width) for run in row.runs] == [
        ("off", 25.0, 25.0), ("high", 50.0, 25.0), ("silent", 75.0, 12.5),
    ]  # fmt: skip
    assert row.runs[1].title == "high, score 0.83, 60 min"
    assert row.spent == {"anomaly": "60 min", "off": "60 min", "silent": "30 min"}
    assert (row.now, row.worst, row.score) == (None, "high", 0.83)


def test_now_is_the_newest_step_with_a_reading_and_worst_the_worst() -> None:
    [row] = rows(fleet(lane("A", "anna..", {0: "critical", 3: "low"})), wrong_only=False)
    assert (row.now, row.worst) == ("low", "critical")


def test_only_what_was_wrong_leaves_out_what_is_silent_or_well() -> None:
    lanes = (lane("A", "nn"), lane("B", "na", {1: "low"}), lane("C", ".."))
    assert [row.asset_id for row in rows(fleet(*lanes), wrong_only=True)] == ["B"]
    assert len(rows(fleet(*lanes), wrong_only=False)) == 3


def test_of_too_many_lanes_the_worst_are_drawn_by_name() -> None:
    lanes = (
        lane("A", "nn"), lane("B", "an", {0: "critical"}), lane("C", ".."),
        lane("D", "na", {1: "low"}), lane("E", "nn"), lane("F", "na", {1: "critical"}),
    )  # fmt: skip
    found = rows(fleet(*lanes), wrong_only=False)
    by_number = ["".join(row.asset_id for row in worst_first(found, most)) for most in range(1, 7)]
    assert by_number == ["F", "DF", "BDF", "ABDF", "ABDEF", "ABCDEF"]


def test_marks_divide_the_span() -> None:
    assert marks(fleet(lane("A", "nnnn")), 2) == [START, START + timedelta(hours=1)]
