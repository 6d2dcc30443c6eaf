"""The quality benchmark: figures are kept for this code only; tables say mean and spread."""

from __future__ import annotations

import json

import numpy as np

from benchmarks import quality
from benchmarks.measures import alarm_rate
from benchmarks.plain import METHODS, precision, ranked
from benchmarks.report import Row, table


def test_kept_rows_are_used_until_the_code_changes(tmp_path, monkeypatch):
    calls = []

    def task(seed: int, quick: bool) -> list[Row]:
        calls.append(seed)
        return [Row("data", "ours", "rate", 1.0 + seed, 0.5, 2.0)]

    file = tmp_path / "kept" / "x-1.json"
    first = quality.measured(task, 1, False, file, fresh=False)
    assert quality.measured(task, 1, False, file, fresh=False) == first
    assert calls == [1]
    quality.measured(task, 1, False, file, fresh=True)
    assert calls == [1, 1]
    monkeypatch.setattr(quality, "code_digest", lambda: "other")
    quality.measured(task, 1, False, file, fresh=False)
    assert calls == [1, 1, 1]
    assert json.loads(file.read_text())["code"] == "other"


def test_table_has_measures_down_methods_across_mean_and_half_the_range():
    rows = [
        Row("SKAB valve1", "ours", "f1", 0.8), Row("SKAB valve1", "ours", "f1", 0.9),
        Row("SKAB valve1", "plain", "f1", 0.7),
        Row("other", "ours", "rate", 1.0, 0.5, 30.0),
    ]  # fmt: skip
    first, second = table(rows).split("\n\n")
    head, _, line = ([c.strip() for c in part.split("|")[1:-1]] for part in first.splitlines())
    assert head == ["SKAB valve1 (2 seeds)", "reach", "ours", "plain"]
    assert line == ["f1", ">= 0.86", "0.850 +- 0.050", "0.700"]
    assert "1.00 [0.500, 30]" in second


def test_interval_of_clustered_alarms_is_wider_than_that_of_scattered_ones():
    scattered, clustered = np.zeros(20_000, bool), np.zeros(20_000, bool)
    scattered[::100] = True
    clustered[3000:3200] = True
    rate, low, high = alarm_rate([scattered])
    assert low <= rate == 0.01 <= high
    _, lower, higher = alarm_rate([clustered])
    assert higher - lower > 3 * (high - low)


def test_every_method_is_ranked_on_the_same_rows_and_streams_without_faults_do_not_count():
    random = np.random.default_rng(0)
    train, fresh = random.normal(size=(300, 3)), random.normal(size=(100, 3))
    truth = np.arange(100) >= 90
    fresh[truth] += 20.0
    scores = [ranked(train, fresh, truth.astype(float)), ranked(train, train, train[:, 0])]
    rows = precision("x", [truth, np.zeros(300)], scores)
    assert [row.method for row in rows] == ["ours", *METHODS]
    assert all(row.value > 0.9 for row in rows if row.method in ("ours", "T^2", "plain SVM"))
