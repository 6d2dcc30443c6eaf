"""Measures on scores made by hand, where the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.measures import (
    Scored,
    alarm_events,
    alarm_rate,
    confirmed_faults,
    confusion,
    curves,
    false_events_per_month,
    labelled_events,
    reliability,
    runs,
)


def scored(
    flags: list[int],
    labels: list[int] | None = None,
    p: list[float] | None = None,
    step_s: int = 60,
) -> Scored:
    n = len(flags)
    alarm = np.array(flags, bool)
    probability = np.array(p) if p is not None else np.where(alarm, 1e-4, 0.5)
    return Scored(
        "A",
        None,
        np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(step_s, "s"),
        np.clip(-0.2 * np.log10(probability) - 0.1, 0, 1),
        probability,
        np.full(n, 0.5),
        alarm,
        {},
        None if labels is None else np.array(labels, np.int8),
    )


def test_alarm_rate_counts_only_readings_labelled_normal() -> None:
    rate = alarm_rate([scored([0, 1, 1, 1], [0, 0, 1, 1])])
    assert (rate["readings"], rate["alarms"], rate["rate"]) == (2, 1, 0.5)


def test_alarm_that_outlasts_its_fault_is_not_a_false_one() -> None:
    flags = [1, 0, 1, 1, 1, 1, 0, 1]
    labels = [0, 0, 0, 1, 0, 0, 0, 0]
    rate = alarm_rate([scored(flags, labels)])
    # the alarm before the fault and the one after it are false, its own rest is not
    assert (rate["readings"], rate["alarms"]) == (5, 3)


def test_alarm_rate_ignores_readings_that_were_not_scored() -> None:
    one = scored([0, 1, 0, 0])
    one.final_score[2:] = np.nan
    assert alarm_rate([one])["readings"] == 2


def test_alarm_rate_of_nothing_is_not_a_number() -> None:
    assert np.isnan(alarm_rate([])["rate"])


def test_interval_of_clustered_alarms_is_wider_than_of_scattered_ones() -> None:
    clustered = np.zeros(4000, int)
    clustered[:40] = 1
    scattered = np.zeros(4000, int)
    scattered[::100] = 1

    def width(flags: np.ndarray) -> float:
        found = alarm_rate([scored(flags.tolist())])
        return found["high"] - found["low"]

    assert width(clustered) > 3 * width(scattered)


def test_reliability_of_uniform_p_is_the_target() -> None:
    p = np.random.default_rng(0).uniform(size=50_000)
    rows = reliability([scored([0] * len(p), p=p.tolist())], [0.1, 0.01])
    assert [row["target"] for row in rows] == [0.1, 0.01]
    for row in rows:
        assert row["rate"] == pytest.approx(row["target"], rel=0.15)
        assert row["low"] <= row["rate"] <= row["high"]


def test_confusion_counts_each_kind() -> None:
    found = confusion([scored([1, 1, 0, 0, 1], [1, 0, 1, 0, 1])])
    assert found is not None
    assert (found["tp"], found["fp"], found["fn"], found["tn"]) == (2, 1, 1, 1)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["false_alarm_rate"] == 0.5
    assert found["missed_alarm_rate"] == pytest.approx(1 / 3)


def test_confusion_without_labels_is_none() -> None:
    assert confusion([scored([1, 0])]) is None


def test_labelled_events_tell_delay_and_lead() -> None:
    events = labelled_events([scored([0, 0, 0, 1, 0, 0, 0], [0, 1, 1, 1, 1, 0, 1])])
    assert [event["detected"] for event in events] == [True, False]
    assert events[0]["delay_readings"] == 2
    assert events[0]["delay_s"] == 120.0
    assert events[0]["lead_readings"] == 1
    assert events[1]["lead_s"] is None


def test_runs_at_both_ends() -> None:
    assert runs(np.array([1, 1, 0, 1], bool)) == [(0, 2), (3, 4)]
    assert runs(np.zeros(3, bool)) == []


def test_alarms_closer_than_the_silence_are_one_event() -> None:
    one = scored([1, 0, 1, 0, 0, 0, 1])
    assert alarm_events(one, 120) == [(0, 2), (6, 6)]
    assert alarm_events(one, 3600) == [(0, 6)]
    assert alarm_events(scored([0, 0]), 60) == []


def test_false_events_per_month_divides_by_alarms_an_event() -> None:
    flags = ([1] * 5 + [0] * 495) * 10  # 1 % alarms, in runs of five, hours apart
    p = [0.005 if f else 0.5 for f in flags]
    expected = false_events_per_month([scored(flags, p=p)], {"critical": 0.01}, 60.0, 3600.0)
    assert expected["critical"] == pytest.approx(0.01 * 43_200 / 5)


def test_curves_of_a_perfect_score() -> None:
    found = curves([scored([0, 0, 1, 1], [0, 0, 1, 1])])
    assert found is not None
    assert found["roc_auc"] == 1.0
    assert curves([scored([0, 1])]) is None
    assert curves([scored([0, 1], [0, 0])]) is None


def test_readings_of_unknown_label_do_not_count() -> None:
    one = scored([0, 1, 1, 1, 0], [0, 0, -1, 1, -1])
    found = confusion([one])
    assert found is not None
    assert (found["tp"], found["fp"], found["fn"], found["tn"]) == (1, 1, 0, 1)
    assert alarm_rate([one])["readings"] == 2
    found_curves = curves([scored([0, 1, 1, 1, 0], [0, 0, -1, 1, -1], p=[0.5, 0.4, 0.3, 0.1, 0.2])])
    assert found_curves is not None
    assert found_curves["roc_auc"] == 1.0


def test_a_confirmed_fault_is_one_of_the_asset_found_on_any_of_its_streams() -> None:
    def stream(asset: str, sensor: str, labels: str, alarms: str) -> Scored:
        n = len(labels)
        times = np.datetime64("2026-01-01", "us") + np.arange(n) * np.timedelta64(60, "s")
        nothing = np.zeros(n)
        return Scored(
            asset, sensor, times, nothing, nothing, nothing,
            np.array([c == "x" for c in alarms]),
            labels=np.array([c == "1" for c in labels], np.int8),
        )  # fmt: skip

    found = confirmed_faults(
        [
            stream("A", "S", "0110011000", "...x......"),  # neither alarms
            stream("A", "T", "0111001100", "...x......"),  # overlaps both; the first alarms
            stream("B", "S", "0110000000", ".x........"),
            stream("B", "T", "0000011000", "x........."),
        ]
    )
    assert found == (2, 4)
