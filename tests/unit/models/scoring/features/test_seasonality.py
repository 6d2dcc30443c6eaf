"""What is usual at a time of the day or week, by the clock of a zone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from models.detectors.base import Array
from models.scoring.features.preprocessing import Preprocessing
from models.scoring.features.seasonality import Season, Seasonality, local_seconds
from models.scoring.magnitudes.adaptation import AdaptiveTail
from models.scoring.readings.windows import prepare
from models.scoring.stream_state import StreamState
from models.scoring.stream_work import Reading, StreamWork

DAY = 86_400.0
HOURS = np.arange(24.0)[:, None] * [1.0, -2.0]  # (24, 2) what is usual in the middle of each hour


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_the_profile_is_interpolated_between_its_points_and_around_midnight() -> None:
    season = Season(DAY, HOURS)
    times = ["2026-03-01 05:30", "2026-03-01 06:00", "2026-03-02 23:30", "2026-03-03 00:00"]
    found = season.offsets(np.array([at(time) for time in times]))
    np.testing.assert_allclose(found[:, 0], [5.0, 5.5, 23.0, 11.5])
    np.testing.assert_allclose(found[:, 1], -2.0 * found[:, 0])


def test_seasons_add_up_and_can_be_restricted_to_features() -> None:
    both = Seasonality((Season(DAY, HOURS), Season(7 * DAY, np.full((7, 2), 100.0))))
    (found,) = both.offsets(np.array([at("2026-03-01 05:30")]))
    np.testing.assert_allclose(found, [105.0, 90.0])
    np.testing.assert_allclose(both.of([1]).offsets(np.array([at("2026-03-01 05:30")])), [[90.0]])
    assert both.described() == ["day", "week"]


def test_the_clock_of_a_zone_is_put_forward_and_back() -> None:
    local = Seasonality((Season(DAY, HOURS),), "Europe/Berlin")
    winter, summer = at("2026-03-01 05:30"), at("2026-07-01 04:30")  # 06:30 in Berlin, both
    found = local.offsets(np.array([winter, summer]))
    np.testing.assert_allclose(found[:, 0], [6.0, 6.0])
    spring = np.array([at("2026-03-29 00:59:59"), at("2026-03-29 01:00:00")])
    np.testing.assert_allclose(np.diff(local_seconds(spring, "Europe/Berlin")), [3601.0])
    np.testing.assert_array_equal(local_seconds(spring, "UTC"), spring)


def test_it_is_stored_and_read_back() -> None:
    made = Seasonality((Season(DAY, HOURS),), "Europe/Berlin")
    again = Seasonality.from_dict(json.loads(json.dumps(made.to_dict())))
    times = np.array([at("2026-07-01 04:12")])
    np.testing.assert_array_equal(again.offsets(times), made.offsets(times))
    assert Seasonality.from_dict({"seasons": []}).zone == "UTC"


def preprocessing(**more: object) -> Preprocessing:
    """Return that of two features which agree, scaled by 1 around 0."""
    mix = np.linalg.inv(np.array([[1.0, 0.3], [0.3, 1.0]]))
    return Preprocessing(
        ("a", "b"), np.zeros(2), np.ones(2), np.ones(2), mix, "normal", 0, 3600.0,
        seasonality=Seasonality((Season(DAY, HOURS),)), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def rows_of(pre: Preprocessing, window: list[Reading], readings: list[Reading]) -> Array:
    work = StreamWork("A", None, None, "medium", None, window, readings)
    return prepare(pre, 4, StreamState(AdaptiveTail(0.5), 2), work, 3.0).raw


def test_each_reading_loses_what_is_usual_at_its_time() -> None:
    start = datetime(2026, 3, 1, 5, 30, tzinfo=UTC)
    readings = [
        Reading(start + timedelta(hours=h), {"a": 5.0 + h, "b": -2 * (5.0 + h) + 0.5})
        for h in range(6)
    ]
    pre = preprocessing()
    np.testing.assert_allclose(rows_of(pre, [], readings), [[0.0, 0.5]] * 6)
    np.testing.assert_allclose(rows_of(pre, readings[:4], readings[4:]), [[0.0, 0.5]] * 2)


def test_readings_of_a_window_without_times_precede_the_next_at_the_groups_interval() -> None:
    start = datetime(2026, 3, 1, 5, 30, tzinfo=UTC)
    pre = preprocessing()
    window = [Reading(None, {"a": 3.0 + h, "b": -2 * (3.0 + h)}) for h in range(2)]
    work = StreamWork(
        "A", None, None, "medium", None, window, [Reading(start, {"a": 5.0, "b": -10.0})]
    )
    stream = prepare(pre, 4, StreamState(AdaptiveTail(0.5), 2), work, 3.0)
    np.testing.assert_allclose(stream.scaled, np.zeros((3, 2)), atol=1e-12)


@pytest.mark.parametrize("hour", [2, 20])
def test_a_missing_value_is_imputed_as_usual_at_the_readings_time(hour: int) -> None:
    pre = preprocessing(missing="impute", max_imputed=1)
    time = at(f"2026-03-01 {hour:02}:30")
    given = pre.given({"a": float(hour)})
    values = pre.imputed(np.array([given, given]), np.array([time, np.nan]))
    np.testing.assert_allclose(values[0], [hour, -2.0 * hour])
    assert values[1, 1] != values[0, 1], "no time is known"
