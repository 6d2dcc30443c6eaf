"""What a back-test prints: each figure says what it counts."""

from __future__ import annotations

import numpy as np
from rich.console import Console

from models.scoring.policy import ScoringPolicy
from training.evaluation.measures import Scored
from training.reports.backtest_report import print_report


def test_each_figure_says_what_it_counts() -> None:
    flags = np.zeros(200, bool)
    flags[100:112], flags[150] = True, True
    labels = np.zeros(200, np.int8)
    labels[100:110] = 1
    times = np.datetime64("2026-01-01", "us") + np.arange(200) * np.timedelta64(60, "s")
    score = np.where(flags, 0.9, 0.1)
    one = Scored("A", None, times, score, score, np.full(200, 0.5), flags, {}, labels)
    console = Console(record=True, width=120)
    print_report(console, [one], ScoringPolicy(), "medium")
    text = console.export_text()
    assert "all replayed readings: 13 of 200 alarm, 65 per 1,000" in text
    assert "per 1,000 normal readings: 5.319" in text
    assert "of 13 alarms 10 lie within the labelled faults, 3 follow one in the same event" in text
    assert "alarm events" in text
    assert "labelled events: 1 of 1 detected" in text
