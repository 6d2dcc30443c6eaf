"""Summarise scored data in the figures that people and MLflow get."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.scoring.policy import ScoringPolicy
from training.evaluation.alarms_of_faults import AlarmsOfFaults, divided
from training.evaluation.measures import (
    Scored,
    alarm_rate,
    confusion,
    curves,
    false_events_per_month,
    labelled_events,
    reliability,
)

#: Target alarm rates of the reliability picture, besides the budgets.
TARGETS = (0.1, 0.03)


@dataclass(slots=True)
class Measures:
    """Result of :func:`measure`; None where the data cannot show a figure."""

    alarms: dict[str, float]
    reliability: list[dict[str, float]]
    per_month: dict[str, float]
    confusion: dict[str, float] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, Any] | None = None
    of_faults: AlarmsOfFaults | None = None

    def flat(self) -> dict[str, float]:
        """Return the finite figures by name, as metrics."""
        out = {
            "alarm_rate": self.alarms["rate"],
            "alarm_rate_low": self.alarms["low"],
            "alarm_rate_high": self.alarms["high"],
            "held_out_readings": float(self.alarms["readings"]),
        }
        out |= {f"false_events_per_month.{k}": v for k, v in self.per_month.items()}
        for row in self.reliability:
            out[f"achieved_at_{row['target']:.2g}"] = row["rate"]
        if self.confusion is not None:
            names = ("f1", "precision", "recall", "false_alarm_rate", "missed_alarm_rate")
            out |= {name: self.confusion[name] for name in names}
        if self.events:
            found = sum(event["detected"] for event in self.events)
            out["events"] = float(len(self.events))
            out["events_detected"] = float(found)
        if self.curves is not None:
            out["roc_auc"] = self.curves["roc_auc"]
            out["average_precision"] = self.curves["average_precision"]
        return {name: value for name, value in out.items() if math.isfinite(value)}


def measure(scored: Sequence[Scored], policy: ScoringPolicy, interval_s: float | None) -> Measures:
    """Measure scored data against the budgets, and against labels if there are any.

    Parameters
    ----------
    scored : sequence of Scored
        One per stream.
    policy : ScoringPolicy
        Gives the budgets and the silence that ends an event.
    interval_s : float, optional
        Median seconds between readings; None (a bare matrix): no figures per month.
    """
    budgets: Mapping[str, float] = policy.budgets
    targets = sorted({*TARGETS, *budgets.values()}, reverse=True)
    per_month = {}
    if interval_s is not None:
        per_month = false_events_per_month(scored, budgets, interval_s, policy.event_silence_s)
    return Measures(
        alarm_rate(scored),
        reliability(scored, targets),
        per_month,
        confusion(scored),
        labelled_events(scored),
        curves(scored),
        divided(scored, policy.event_silence_s),
    )
