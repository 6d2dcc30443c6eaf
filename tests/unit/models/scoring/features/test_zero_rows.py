"""Rows of zeros are suppressed for as long as devices take to restart."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from models.scoring.features.zero_rows import ZeroRows
from models.scoring.maintenance.suppression import OffState

RULE = ZeroRows(("a", "b", "c"), 120.0)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ZERO, RUNNING = {"a": 0.0, "b": 0.0, "c": 0.0, "other": 5.0}, {"a": 0.0, "b": 0.0, "c": 1.0}


def marked(rows: list[dict], state: OffState | None = None) -> str:
    """One letter per reading, a minute apart: O off, . judged."""
    state, out = state or OffState(), ""
    for i, features in enumerate(rows):
        found = RULE.take(state, NOON + timedelta(minutes=i), features)
        state = OffState.from_list(json.loads(json.dumps(state.to_list())))
        out += "." if found is None else "O"
    return out


@pytest.mark.parametrize(
    ("features", "holds"),
    [
        (ZERO, True),
        ({"a": -0.0, "b": 0.0}, True),
        ({"a": 0.0}, False),
        ({}, False),
        (RUNNING, False),
        ({"a": 0.0, "b": 0.0, "c": float("nan")}, False),
    ],
)
def test_all_values_that_were_sent_are_zero_and_two_were(features, holds):
    assert RULE.holds(features) is holds


def test_zeros_that_last_are_judged_and_count_anew_after_other_readings():
    assert marked([ZERO] * 5) == "OOO.."
    assert marked([ZERO, RUNNING] * 3) == "O.O.O."
    assert marked([ZERO] * 4 + [RUNNING] + [ZERO] * 2) == "OOO..OO"


def test_a_late_reading_changes_nothing():
    state = OffState()
    assert RULE.take(state, NOON, ZERO, late=True)
    assert state == OffState()
    RULE.take(state, NOON, ZERO)
    RULE.take(state, NOON, RUNNING, late=True)
    assert state.zeros_since == NOON.timestamp()


def test_a_clock_set_back_counts_from_where_it_is_set_back():
    state = OffState()
    assert RULE.take(state, NOON, ZERO)
    assert RULE.take(state, NOON - timedelta(hours=1), ZERO)
    assert state.zeros_since == (NOON - timedelta(hours=1)).timestamp()


def test_the_rule_is_stored():
    assert ZeroRows.from_dict(json.loads(json.dumps(RULE.to_dict()))) == RULE
