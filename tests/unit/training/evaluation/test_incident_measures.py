"""What a report says of incidents."""

from __future__ import annotations

import numpy as np

from training.evaluation.incident_measures import incidents_line
from training.evaluation.measures import Scored

N = 2160  # three months, a reading an hour


def scored(asset: str, incidents: tuple[int, ...], labels: np.ndarray | None = None) -> Scored:
    times = np.datetime64("2026-01-01", "us") + np.arange(N) * np.timedelta64(1, "h")
    alarms = np.zeros(N, bool)
    alarms[100:120] = True
    nothing = np.zeros(N)
    return Scored(
        asset, None, times, nothing, nothing, nothing, alarms, {}, labels, None, incidents
    )


def test_false_incidents_are_counted_per_asset_and_month():
    line = incidents_line([scored("A", (5, 500)), scored("B", (7,))], 1.0)
    assert "3 false in 6 asset-months, 0.5 per asset and month; 1 are expected" in line
    shared = incidents_line([scored("A", (5, 500)), scored("A", (7,))], 1.0)
    assert "3 false in 3 asset-months, 1 per asset and month" in shared


def test_labelled_faults_are_not_false_and_tell_what_the_delay_costs():
    labels = np.zeros(N, np.int8)
    labels[95:130] = 1
    line = incidents_line([scored("A", (104, 900), labels)], 1.0)
    assert "1 false" in line
    assert "1 of 1 alarmed faults became incidents, 4 readings after" in line


def test_too_short_a_stretch_says_how_long_would_tell():
    assert "12 asset-months would show it" in incidents_line([scored("A", ())], 0.25)
