"""Table partitions are made at once, every ten minutes of the clock, and again after a failure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from consumers.outage import Outage
from consumers.table_partitions import LOOK_SECONDS, TablePartitionMaintainer
from errors import StorageUnavailable

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def maintainer(
    answers: list[list[str] | Exception],
) -> tuple[TablePartitionMaintainer, Clock, list]:
    clock, asked = Clock(), []

    def make() -> list[str]:
        asked.append(clock.now)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    made = TablePartitionMaintainer(make, Outage("partitions"), clock)
    return made, clock, asked


def test_partitions_are_made_at_once_and_after_ten_minutes():
    part, clock, asked = maintainer([["p_2026_01"], []])
    assert part.step() == LOOK_SECONDS
    clock.now += timedelta(minutes=9, seconds=59)
    assert part.step() == LOOK_SECONDS
    assert asked == [START]
    clock.now += timedelta(seconds=1)
    part.step()
    assert asked == [START, START + timedelta(minutes=10)]


def test_a_clock_that_is_set_back_is_noticed():
    part, clock, asked = maintainer([[], []])
    part.step()
    clock.now -= timedelta(days=1)
    part.step()
    assert asked == [START, START - timedelta(days=1)]


def test_what_failed_is_tried_again_with_a_back_off():
    part, _, asked = maintainer([StorageUnavailable("down"), []])
    assert 0 < part.step() < LOOK_SECONDS
    assert part.step() == LOOK_SECONDS
    assert asked == [START, START]


def test_the_thread_ends_when_it_is_stopped():
    part, _, asked = maintainer([[]])
    part.start()
    part.stop(10.0)
    assert not part.is_alive()
    assert not part.died
    assert asked in ([], [START])  # stopped before or after its first look
