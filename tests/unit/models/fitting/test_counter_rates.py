"""Which features are counters, and what a fit makes of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from errors import TrainingError
from models.detectors.covariance import median_deviation
from models.fitting.counter_rates import Rated, counters_among, counts_up, with_rates
from models.fitting.options import FitOptions
from models.scoring.features.counters import Counters, rate_per_hour, slack_of

N = 600
MINUTE = np.timedelta64(60, "s")
TIMES = np.datetime64("2026-01-01", "us") + np.arange(N) * MINUTE
NOISE = np.random.default_rng(0).normal(50.0, 1.0, N)
HOURS = 12_000 + np.arange(N) / 60


def rated(*columns: np.ndarray, times: np.ndarray | None = TIMES, asked: str = "auto") -> Rated:
    names = ["noise", "a", "b"][: 1 + len(columns)]
    given = None if times is None else [times]
    return with_rates([np.column_stack([NOISE, *columns])], given, names, asked)


def test_a_counter_only_rises_and_may_restart() -> None:
    x = np.arange(500.0)
    assert counts_up(x)
    assert counts_up(np.concatenate([x, x]))
    assert not counts_up(NOISE)
    assert not counts_up(np.full(500, 1.0))


def test_one_that_rises_seldom_is_one_and_a_level_that_shifts_is_not() -> None:
    assert counts_up(np.floor(np.arange(3000) / 60))
    assert not counts_up(np.repeat([1.0, 2.0, 3.0, 4.0], 100))
    assert not counts_up(np.cumsum(np.random.default_rng(1).choice([-1, 0, 1], 3000)))


def test_a_machine_that_rests_does_not_decide() -> None:
    runs, rests = HOURS[:, None], np.full((N, 1), 7.0)
    assert counters_among([runs, rests, runs[:10]], ["a"]) == ["a"]
    assert counters_among([rests], ["a"]) == []
    assert counters_among([runs, NOISE[:, None]], ["a"]) == []


def test_its_rate_is_taken_but_where_it_is_not_known() -> None:
    energy = 5 * HOURS
    energy[100:] -= 50_000  # set back
    times = TIMES.copy()
    times[300:] += 60 * MINUTE  # a gap
    found = rated(energy, times=times)
    (stream,) = found.streams
    assert np.flatnonzero(np.isnan(stream[:, 1])).tolist() == [0, 100, 300]
    assert np.nanmin(stream[:, 1]) == pytest.approx(5.0)
    assert found.counters is not None
    assert found.counters.names == ("a",)
    assert found.counters.usual[0] == pytest.approx(5.0)
    assert found.notes == [
        "a: only rises, as a counter does: its rate per hour is used instead of its value"
        " (--counters none: the value)"
    ]
    assert np.array_equal(stream[:, 0], NOISE)


def test_row_numbers_of_which_some_readings_were_left_out_are_not_used() -> None:
    rows, there = np.arange(N) + 5.0, np.ones(N, bool)
    there[60:75] = there[200:] = False
    there[210:] = True
    found = with_rates([np.column_stack([rows, NOISE])[there]], [TIMES[there]], ["UDI", "noise"])
    assert found.unusable == ["UDI"]
    assert found.notes == ["UDI: only rises, as a counter does, and counts the rows: not used"]


def test_row_numbers_of_runs_on_end_are_not_used() -> None:
    rows = 1.0 + np.arange(N) % 200
    assert rated(rows).unusable == ["a"]
    assert rated(np.where(rows < 200, rows, 250.0)).unusable == []
    parts = np.concatenate([np.arange(300.0), np.arange(300.0) + 100])  # set back by hand
    assert rated(parts).unusable == []


def test_a_counter_that_rises_by_one_and_now_and_then_by_more_has_a_rate() -> None:
    parts = np.cumsum(np.where(np.arange(N) % 40 == 7, 3.0, 1.0))
    found = with_rates([np.column_stack([parts, NOISE])], [TIMES], ["parts", "noise"])
    assert found.unusable == []
    assert found.counters is not None


@pytest.mark.parametrize("code", [-999.0, 65535.0])
def test_error_codes_do_not_hide_a_counter(code: float) -> None:
    hours = HOURS.copy()
    hours[50:500:9] = code
    found = rated(hours)
    assert found.counters is not None
    assert found.nulls == {"a": (code,)}
    assert found.streams[0][1:, 1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: rated(HOURS, times=None), "has no rate without times"),
        (lambda: rated(np.arange(N) + 5.0), "counts the rows"),
        (lambda: rated(HOURS, times=np.repeat(TIMES[::3], 3)), "has no known rate"),
    ],
)
def test_one_without_a_rate_is_not_used(change: Callable[[], Rated], why: str) -> None:
    found = change()
    assert found.names == ["noise"]
    assert found.unusable == ["a"]
    assert found.counters is None
    assert why in found.notes[0]


def test_it_can_be_switched_off_and_others_stay_as_they_are() -> None:
    found = rated(HOURS, asked="none")
    assert found.counters is None
    assert np.array_equal(found.streams[0][:, 1], HOURS)
    assert rated(NOISE[::-1]).notes == []
    with pytest.raises(TrainingError, match="counters: 'off' is not auto or none"):
        FitOptions(counters="off")
    with pytest.raises(TrainingError, match=r"every feature only rises.*has no rate without times"):
        with_rates([HOURS[:, None]], None, ["a"])


def test_one_that_tells_conditions_keeps_its_value() -> None:
    batch = np.arange(N) // 10.0
    speed = 60 + np.random.default_rng(0).normal(size=N)
    streams, names = [np.column_stack([batch, speed])], ["batch", "speed"]
    assert with_rates(streams, [TIMES], names).counters is not None
    found = with_rates(streams, [TIMES], names, "auto", ["batch"])
    assert found.counters is None
    assert found.streams[0][:, 0].tolist() == batch.tolist()


def test_holes_of_a_counter_lie_between_its_readings() -> None:
    hours = HOURS.copy()
    hours[100:110] = np.nan
    noise = NOISE.copy()
    noise[5] = np.nan
    names = ["noise", "hours"]
    whole = with_rates([np.column_stack([NOISE, HOURS])], [TIMES], names)
    found = with_rates([np.column_stack([noise, hours])], [TIMES], names)
    assert found.counters is not None
    assert found.streams[0][1:, 1] == pytest.approx(whole.streams[0][1:, 1])
    assert np.isnan(found.streams[0][5, 0])


def test_a_constant_rate_is_known_to_a_step_of_the_clock_and_of_the_counter() -> None:
    counters = rated(1000.0 + 0.5 * np.arange(N)).counters
    assert counters is not None
    assert counters.slack[0] == pytest.approx(0.1 + 0.5 / 60)
    assert Counters.from_dict(counters.to_dict()) == counters

    def rate(risen: float, passed_s: float, start: float = 1e3) -> float:
        return counters.read({"a": start + risen}, {"a": start}, passed_s)["a"]

    usual = rate(0.5, 60.0)
    assert usual == pytest.approx(30.0)
    assert rate(0.5, 60.005) == rate(0.5, 59.2) == rate(0.6, 60.0) == usual
    assert rate(0.6, 60.0, 1e15) == usual  # a difference of large numbers is rounded
    assert (rate(0.0, 60.0), rate(1.0, 60.0), rate(0.8, 60.0)) == pytest.approx((0, 60, 48))
    # less than a step of the clock, but neither stuck nor twice as fast
    assert (rate(0.0, 1.0), rate(0.5, 30.0)) == pytest.approx((0, 60))


@pytest.mark.parametrize("nothing", [np.full(N, np.nan), np.full(10, 1200.0)])
def test_a_stream_whose_counter_does_not_run_does_not_tell_its_step(nothing) -> None:
    runs = 1000.0 + 0.25 * np.arange(N)
    values, times = [runs, nothing], [TIMES, TIMES[: len(nothing)]]
    rates = [rate_per_hour(x, t) for x, t in zip(values, times, strict=True)]
    assert slack_of(values, times, rates) == pytest.approx(0.01 + 0.25 / 60)


def test_a_late_reading_now_and_then_does_not_move_a_constant_rate() -> None:
    late = TIMES + np.where(np.arange(N) % 100 == 99, 1, 0).astype("timedelta64[s]")
    found = rated(HOURS, times=late).streams[0][1:, 1]
    np.testing.assert_allclose(found, 1.0, rtol=1e-6)


def test_a_rate_that_scatters_shows_by_itself_what_is_far_from_it() -> None:
    counters = rated(np.round(HOURS, 2)).counters
    assert counters is not None
    assert counters.slack == (0.0,)


def test_values_farther_apart_than_a_number_can_say_are_no_counters() -> None:
    huge = np.where(np.arange(N) % 2, 1e308, -1e308)
    with np.errstate(over="raise"):
        assert rated(huge).counters is None
        assert median_deviation(huge) > 1e308


@pytest.mark.parametrize("code", [-999.0, 7_777_777.0])
def test_error_codes_in_bulk_are_no_falls(code: float) -> None:
    energy = 5 * HOURS
    energy[np.random.default_rng(0).random(N) < 0.08] = code
    found = rated(energy)
    assert found.counters is not None
    assert (found.counters.names, found.nulls) == (("a",), {"a": (code,)})
    assert np.nanmax(np.abs(found.streams[0][:, 1] - 5.0)) < 1e-6
