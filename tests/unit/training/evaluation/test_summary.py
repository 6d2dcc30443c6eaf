"""The figures of a scored stretch, as a person and MLflow get them: finite ones only."""

from __future__ import annotations

import numpy as np

from models.scoring.policy import ScoringPolicy
from training.evaluation.measures import Scored
from training.evaluation.summary import measure

N = 4000
TIMES = np.datetime64("2026-01-01", "us") + np.arange(N) * np.timedelta64(60, "s")


def scored(labels: np.ndarray | None) -> Scored:
    p = np.random.default_rng(0).uniform(size=N)
    if labels is not None:
        p[labels == 1] /= 1e6
    return Scored(
        "A", "S1", TIMES, 1.0 - p, p, np.full(N, 0.999), p <= 1e-3, labels=labels,
        log10_p=np.log10(p),
    )  # fmt: skip


def test_without_labels_alarms_are_measured_and_nothing_else_is_claimed():
    found = measure([scored(None)], ScoringPolicy(), 60.0)
    assert (found.confusion, found.events, found.curves) == (None, [], None)
    figures = found.flat()
    assert figures["held_out_readings"] == N
    assert figures["alarm_rate"] < 5e-3
    assert {name for name in figures if name.startswith("achieved_at_")} == {
        "achieved_at_0.1", "achieved_at_0.03", "achieved_at_0.01", "achieved_at_0.0032",
        "achieved_at_0.001", "achieved_at_0.0001",
    }  # fmt: skip
    assert "f1" not in figures


def test_with_labels_faults_found_are_measured():
    labels = np.zeros(N, np.int8)
    labels[1000:1100] = 1
    figures = measure([scored(labels)], ScoringPolicy(), 60.0).flat()
    assert (figures["events"], figures["events_detected"]) == (1.0, 1.0)
    assert figures["missed_alarm_rate"] == 0.0
    assert figures["roc_auc"] > 0.99


def test_without_times_no_month_is_counted():
    found = measure([scored(None)], ScoringPolicy(), None)
    assert found.per_month == {}
    assert not [name for name in found.flat() if name.startswith("false_events")]
