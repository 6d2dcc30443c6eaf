"""A stream's clock: late readings, and what happens when it ran ahead and is right again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from models.scoring.readings.clock import IN_A_ROW, Step, StreamClock

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GAP_S = 20 * 60.0


class Plant:
    """One stream whose readings reach Kafka and the bridge as they are made, by default."""

    def __init__(self) -> None:
        self.clock = StreamClock()
        self.now = START

    def send(self, at=None, arrived=None, now=None) -> Step:
        self.now += MINUTE
        at = self.now if at is None else at
        arrived = self.now if arrived is None else arrived
        step = self.clock.take(at, GAP_S, arrived, self.now if now is None else now)
        again = StreamClock(self.clock.last)
        again.read(json.loads(json.dumps(self.clock.to_list())))
        self.clock = again  # as it comes back with the next request
        return step

    def live(self, count: int) -> list[Step]:
        return [self.send() for _ in range(count)]


def test_a_clock_an_hour_ahead_once_costs_a_few_readings():
    plant = Plant()
    plant.live(50)
    assert plant.send(at=plant.now + 59 * MINUTE) is Step.GAP
    steps = plant.live(149)
    assert steps == [Step.LATE] * (IN_A_ROW - 1) + [Step.SET_BACK] + [Step.NEXT] * (149 - IN_A_ROW)


def test_a_clock_that_stays_ahead_for_a_while_costs_as_many_readings():
    plant = Plant()
    plant.live(50)
    for _ in range(20):
        plant.send(at=plant.now + 45 * MINUTE)
    steps = plant.live(40)
    assert steps[:20] == [Step.LATE] * 20
    assert steps[20] is Step.SET_BACK
    assert set(steps[21:]) == {Step.NEXT}


def test_the_very_first_reading_may_be_the_wrong_one():
    plant = Plant()
    plant.send(at=START + 58 * MINUTE)
    steps = plant.live(30)
    assert steps.count(Step.LATE) == IN_A_ROW - 1
    assert steps[-1] is Step.NEXT


@pytest.mark.parametrize("since", [0, 1, 3])
def test_a_leap_of_hours_that_is_read_days_later(since):
    # own time and Kafka's were both wrong, and no clock was there to tell
    plant, days_later = Plant(), START + timedelta(days=3)
    for _ in range(50):
        plant.send(now=days_later)
    for _ in range(1 + since):
        ahead = plant.now + timedelta(hours=5)
        plant.send(at=ahead, arrived=ahead, now=days_later)
    steps = [plant.send(now=days_later) for _ in range(30)]
    assert steps[IN_A_ROW - 1 :] == [Step.SET_BACK] + [Step.NEXT] * (30 - IN_A_ROW)


def test_a_state_that_a_former_release_left_in_the_future_comes_back():
    plant = Plant()
    plant.clock = StreamClock(datetime(2036, 1, 1, tzinfo=UTC))
    steps = plant.live(30)
    assert steps.index(Step.SET_BACK) == IN_A_ROW - 1
    assert steps[-1] is Step.NEXT


@pytest.mark.parametrize("kafka", ["sent now", "as it was"])
@pytest.mark.parametrize("where", ["before all", "in a gap"])
@pytest.mark.parametrize("alive", [2, 100])
def test_a_backfill_never_moves_a_live_stream(kafka, where, alive):
    plant = Plant()
    plant.live(100)
    hole = plant.now
    plant.now += timedelta(hours=12)
    plant.live(alive)
    last = plant.clock.last
    begin = START - timedelta(days=2) if where == "before all" else hole
    now = plant.now
    for number in range(1, 600):
        at = begin + number * MINUTE
        arrived = now if kafka == "sent now" else at
        assert plant.send(at=at, arrived=arrived, now=now) is Step.LATE
    assert plant.clock.last == last
    plant.now = now
    assert plant.send() is Step.NEXT


def test_a_backfill_does_not_move_a_stream_whose_clock_is_always_an_hour_ahead():
    # local time sent as if it were UTC
    plant, hour = Plant(), timedelta(minutes=60)
    for _ in range(300):
        plant.send(at=plant.now + MINUTE + hour)
    last, now = plant.clock.last, plant.now
    for number in range(200):
        step = plant.send(at=START + number * MINUTE, now=now)
        assert step is Step.LATE
    assert plant.clock.last == last


def test_without_an_arrival_nothing_is_set_back():
    clock = StreamClock(datetime(2036, 1, 1, tzinfo=UTC))
    assert {clock.take(START + n * MINUTE, GAP_S) for n in range(50)} == {Step.LATE}


def test_late_readings_between_others_are_late():
    plant = Plant()
    plant.live(20)
    for _ in range(50):
        assert plant.send(at=plant.now - 3 * MINUTE) is Step.LATE
        assert plant.send() is Step.NEXT


@pytest.mark.parametrize("gap_s", [None, 1.0, 86_400.0])
def test_any_rate_of_the_group_serves(gap_s):
    clock, now = StreamClock(), START
    steps = []
    for number in range(200):
        now += MINUTE
        at = now + 59 * MINUTE if number == 50 else now
        steps.append(clock.take(at, gap_s, now, now))
    assert steps.count(Step.LATE) == IN_A_ROW - 1
    assert clock.last == now


def test_readings_of_one_time_are_no_late_ones():
    plant = Plant()
    plant.live(20)
    assert [plant.send(at=plant.now) for _ in range(5)] == [Step.NEXT] * 5
    assert plant.clock.steps == [60.0] * 9


def paced(steps, gap_s=20.0, factor=20.0):
    """What each reading is to a stream of a group with a gap of 20 s, its state stored between."""
    clock, at, found = StreamClock(START), START, []
    for step in steps:
        at += timedelta(seconds=step)
        found.append(clock.take(at, gap_s, factor=factor))
        again = StreamClock(clock.last)
        again.read(json.loads(json.dumps(clock.to_list())))
        clock = again
    return found


def test_a_slow_stream_of_a_fast_group_has_its_own_rate():
    assert paced([60.0] * 50)[3:] == [Step.NEXT] * 47
    assert paced([60.0] * 50, factor=None) == [Step.GAP] * 50  # a gap that was set holds


def test_a_fast_stream_of_a_slow_group_has_its_own_rate():
    assert paced([1.0] * 10 + [60.0] + [1.0] * 10, gap_s=1200.0)[10] is Step.GAP


def test_a_pause_is_a_gap_and_changes_no_rate_but_a_new_rate_is_followed():
    steps = [60.0] * 20 + [5000.0] + [60.0] * 8 + [5000.0] + [60.0] * 5
    assert [i for i, s in enumerate(paced(steps)) if s is Step.GAP and i > 3] == [20, 29]
    assert paced([1.0] * 20 + [60.0] * 20).count(Step.GAP) == 2


def test_bursts_are_no_gaps():
    assert Step.GAP not in paced([0.01, 0.01, 0.01, 10.0] * 20)[8:]


def test_a_clock_of_a_former_release_is_read_and_nonsense_is_not():
    clock = StreamClock(START)
    clock.read([7, None, 0, None])
    assert (clock.since, clock.steps) == (7, [])
    for wrong in ([-1.0], ["x"], [float("nan")], [0], 5):
        with pytest.raises((ValueError, TypeError)):
            clock.read([7, None, 0, None, wrong])
