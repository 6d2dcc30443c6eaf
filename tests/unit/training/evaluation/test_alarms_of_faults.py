"""Alarms within, after and outside of labelled faults."""

from __future__ import annotations

import numpy as np

from training.evaluation.alarms_of_faults import AlarmsOfFaults, divided
from training.evaluation.measures import Scored, alarm_rate


def scored(flags: list[int], labels: list[int] | None) -> Scored:
    n = len(flags)
    times = np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(60, "s")
    score = np.full(n, 0.4)
    return Scored(
        "A", None, times, score, score, score, np.array(flags, bool), {},
        None if labels is None else np.array(labels, np.int8),
    )  # fmt: skip


def test_alarms_are_divided_by_the_event_that_began_in_a_fault() -> None:
    flags = [0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0]
    labels = [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    found = divided([scored(flags, labels)], silence_s=150.0)
    # the alarm before the fault, and the last one, which is an event of its own
    assert found == AlarmsOfFaults(within=2, after=2, elsewhere=2, readings=9)
    assert "of 6 alarms 2 lie within the labelled faults, 2 follow" in str(found)


def test_a_stream_that_nobody_labelled_counts_as_it_does_for_the_false_alarm_rate() -> None:
    streams = [scored([0, 1, 1, 0], [0, 1, 1, 0]), scored([0, 1, 0, 0], None)]
    found = divided(streams, silence_s=150.0)
    assert found == AlarmsOfFaults(within=2, after=0, elsewhere=1, readings=6)
    assert alarm_rate(streams)["alarms"] == found.elsewhere


def test_without_labelled_faults_nothing_is_divided() -> None:
    assert divided([scored([0, 1], None)], 60.0) is None
    assert divided([scored([0, 1], [0, 0])], 60.0) is None
