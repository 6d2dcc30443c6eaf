"""Figures of the alarm load beside their limits, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from db.alarm_kpis import ACCEPTABLE, EXCEEDED, LIMITS, MANAGEABLE, _figure, _values

DAY = 86_400.0


def load(**given: Any) -> dict[str, Any]:
    usual = {"alarms": 0, "severities": {}, "peak": 0, "flood_s": 0.0, "top": []}
    return {**usual, "chattering": 0, "standing": 0, **given}


def test_rates_are_per_operator() -> None:
    severities = {"low": 240, "medium": 45, "high": 9, "critical": 6}
    values = _values(load(alarms=300, severities=severities, peak=8, top=[{"alarms": 30}]), DAY, 2)
    assert values.keys() == LIMITS.keys()
    assert (values["per_day"], values["peak_10_minutes"]) == (150.0, 4.0)
    assert values["per_hour"] == pytest.approx(6.25)
    assert values["per_10_minutes"] == pytest.approx(150 / 144)
    assert values["share_low"] == pytest.approx(0.8)
    assert values["share_high_critical"] == pytest.approx(0.05)
    assert values["top_ten_share"] == pytest.approx(0.1)


def test_without_alarms_shares_are_unknown_and_have_no_verdict() -> None:
    values = _values(load(), DAY, 1)
    assert values["per_day"] == 0.0
    for name in ("share_low", "share_medium", "share_high_critical", "top_ten_share"):
        assert values[name] is None
        assert _figure(name, None)["verdict"] is None


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("per_day", 150, ACCEPTABLE),
        ("per_day", 150.1, MANAGEABLE),
        ("per_day", 300, MANAGEABLE),
        ("per_day", 300.1, EXCEEDED),
        ("share_low", 0.8, ACCEPTABLE),  # at least
        ("share_low", 0.79, EXCEEDED),
        ("flood_share", 0.0099, ACCEPTABLE),  # under
        ("flood_share", 0.01, EXCEEDED),
        ("standing", 4, ACCEPTABLE),
        ("standing", 5, EXCEEDED),
        ("chattering", 1, EXCEEDED),
    ],
)
def test_a_limit_itself_is_met(name: str, value: float, verdict: str) -> None:
    assert _figure(name, value)["verdict"] == verdict
