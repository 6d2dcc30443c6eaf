"""What may be wrong with one sensor: each check finds its own fault, and none in good readings."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.checks import HIGH, LOW, MEDIUM, of_sensor, of_times, worst

N = 2000
NOISE = np.random.default_rng(0).normal(50.0, 1.0, N)
ROWS = np.arange(1, N + 1)


def kinds(x: np.ndarray, garbage: np.ndarray | None = None) -> dict[str, str]:
    mask = np.zeros(len(x), bool) if garbage is None else garbage
    return {one.kind: one.grade for one in of_sensor(x, mask, ROWS[: len(x)])}


def changed(change) -> np.ndarray:
    x = NOISE.copy()
    change(x)
    return x


def spiked(x: np.ndarray) -> None:
    x[[100, 900]] += 60.0


def stuck(x: np.ndarray) -> None:
    x[500:600] = x[500]


def shifted(x: np.ndarray) -> None:
    x[1200:] += 20.0


def test_good_readings_have_no_finding():
    assert kinds(NOISE) == {}


@pytest.mark.parametrize(
    ("x", "kind", "grade"),
    [
        (changed(spiked), "spikes", MEDIUM),
        (changed(stuck), "stuck", MEDIUM),
        (changed(shifted), "level_shift", MEDIUM),
        (np.full(N, 3.0), "constant", LOW),
        (np.where(ROWS % 100 == 0, 4.0, 3.0), "nearly_constant", MEDIUM),
        (np.cumsum(np.abs(NOISE)), "counter", MEDIUM),
        (ROWS.astype(float), "row_number", LOW),
        (1.0 + ROWS % 500, "row_number", LOW),
        (1.0 + ROWS // 500, "run_number", MEDIUM),
        (np.where(NOISE > 50, 1.0, 0.0), "two_levels", HIGH),
        (np.round(NOISE / 3), "quantised", MEDIUM),
        (NOISE + np.where(ROWS // 7 % 2, 40.0, 0.0), "modes", HIGH),
        (np.where(ROWS % 3 == 0, np.nan, NOISE), "missing", MEDIUM),
        (np.cumsum(np.random.default_rng(0).normal(size=N)), "wanders", MEDIUM),
    ],
)
def test_each_fault_is_found_and_graded(x, kind, grade):
    assert kinds(x)[kind] == grade


def test_levels_that_come_back_or_lie_apart_number_no_runs():
    for levels in (
        [1.0, 2.0, 3.0, 2.0],
        [1.0, 2.0, 4.0, 5.0],
        [1.0, 2.0, 3.0],
        [0.5, 1.5, 2.5, 3.5],
    ):
        assert "run_number" not in kinds(np.repeat(levels, 300))


def test_a_cycle_that_comes_back_often_does_not_wander():
    assert kinds(NOISE + 30 * np.sin(ROWS * 2 * np.pi / (N / 5))) == {}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("row", [400, 1000, 1600])
def test_a_shift_is_placed_where_it_happens(seed, row):
    rng = np.random.default_rng(seed)
    load = np.convolve(rng.normal(size=N + 20), np.ones(20), "valid")[:N]
    (finding,) = of_sensor(load + np.where(row < ROWS, 80.0, 0.0), np.zeros(N, bool), ROWS)
    assert finding.kind == "level_shift"
    assert float(finding.text.split()[-1]) == pytest.approx(80, abs=8)
    assert int(finding.rows.removeprefix("about ")) == pytest.approx(row, abs=N / 24)


def test_readings_of_another_unit_or_none_are_no_operating_mode():
    rng = np.random.default_rng(0)
    hit = rng.random(N) < 0.2
    (finding,) = of_sensor(np.where(hit, rng.uniform(-1e6, 1e6, N), NOISE), np.zeros(N, bool), ROWS)
    far = hit.sum()
    assert (finding.kind, finding.grade) == ("far_off", MEDIUM)
    assert abs(int(finding.text.split()[0]) - far) < 0.01 * far
    late = ROWS > 1800
    (finding,) = of_sensor(np.where(late, 1000 * NOISE, NOISE), np.zeros(N, bool), ROWS)
    assert (finding.kind, finding.rows) == ("far_off", "1801-2000")


def test_a_machine_that_is_off_now_and_then_has_an_operating_mode():
    speed = np.where(ROWS % 200 < 40, 0.0, 1500 + 0.05 * NOISE)
    found = kinds(speed)
    assert found["modes"] == HIGH
    assert "far_off" not in found


def test_a_counter_that_seldom_rises_has_its_mean_rate():
    (finding,) = of_sensor(np.floor(ROWS / 4), np.zeros(N, bool), ROWS)
    assert "(by 0.25 per reading)" in finding.text


def test_of_many_kinds_of_garbage_the_usual_ones_are_named_and_the_others_counted():
    x, mask = NOISE.copy(), np.zeros(N, bool)
    x[10:18] = [-9e4, -8e4, -7e4, -6e4, -5e4, -4e4, 4e4, 5e4]
    x[[30, 40]] = 65535.0
    mask[[*range(10, 18), 30, 40]] = True
    found = [(one.text, one.rows) for one in of_sensor(x, mask, ROWS) if one.kind == "garbage"]
    assert found[0] == ("65535 in 2 readings is no measurement", "31, 41")
    assert len(found) == 6
    assert found[-1] == ("4 other values (-50000 to 50000) in 4 readings are no measurements",
                         "15-18")  # fmt: skip


def test_garbage_is_named_and_hides_nothing_behind_it():
    x = changed(stuck)
    x[::50] = -9999.0
    (first, *_) = of_sensor(x, x == -9999.0, ROWS)
    assert first.text == "-9999 in 40 readings is no measurement"
    assert first.rows.startswith("1")
    assert "spikes" not in kinds(x, x == -9999.0)


def test_times_show_gaps_repeats_and_mixed_rates():
    minute = np.timedelta64(60, "s")
    times = np.datetime64("2026-01-01", "us") + np.arange(N) * minute
    assert of_times(times, ROWS) == (60.0, [])
    late = times.copy()
    late[1000:] += 100 * minute
    assert [one.kind for one in of_times(late, ROWS)[1]] == ["gaps"]
    assert [one.kind for one in of_times(np.repeat(times[::2], 2), ROWS)[1]] == ["equal_times"]
    assert [one.kind for one in of_times(times[:30], ROWS[:30])[1]] == ["too_few"]
    (finding,) = of_times(np.repeat(times[::4], 4), ROWS)[1]
    assert (finding.kind, finding.grade) == ("equal_times", MEDIUM)
    mixed = np.concatenate([times[:1000], times[999] + (1 + np.arange(1000)) * 5 * minute])
    (finding,) = of_times(mixed, ROWS)[1]
    assert finding.text.startswith("mixed sampling: 60 s and 5 min")


def test_the_worst_grade_counts():
    assert worst([HIGH, LOW, MEDIUM]) == LOW
    assert worst([]) == HIGH
