"""Print the report of a back-test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console

from datasets.types import named
from models.scoring.policy import ScoringPolicy
from training.cli.printed_table import new_table
from training.evaluation.alarms_of_faults import divided
from training.evaluation.incident_measures import incidents_line
from training.evaluation.measures import (
    Scored,
    alarm_events,
    alarm_rate,
    confusion,
    labelled_events,
)
from training.reports.fit_report import number

_MAX_ASSETS = 30  # rows of the table


def print_report(
    console: Console, scored: Sequence[Scored], policy: ScoringPolicy, criticality: str
) -> None:
    """Print the alarm rate against the budget; with labels also F1, error rates and events.

    Parameters
    ----------
    console
        Console to print on.
    scored
        One per stream.
    policy
        Gives the budgets.
    criticality
        Criticality of all assets.
    """
    budget = policy.budgets[criticality]
    _assets(console, scored, policy)
    whole = alarm_rate(scored)
    of_faults = divided(scored, policy.event_silence_s)
    all_alarms = sum(int(one.is_anomaly.sum()) for one in scored)
    readings = sum(int(np.isfinite(one.final_score).sum()) for one in scored)
    console.print(
        f"all replayed readings: {all_alarms:,} of {readings:,} alarm,"
        f" {number(1000 * all_alarms / max(readings, 1))} per 1,000"
    )
    what = "normal readings" if any(s.labels is not None for s in scored) else "readings"
    console.print(
        f"per 1,000 {what}: {number(1000 * whole['rate'])}"
        f" (90 % interval {number(1000 * whole['low'])} .. {number(1000 * whole['high'])}),"
        f" budget {1000 * budget:g} (criticality {criticality},"
        f" threshold {policy.threshold(criticality):.2f})"
    )
    if of_faults is not None:
        console.print(str(of_faults))
    console.print(incidents_line(scored, policy.incident_budgets[criticality]))
    labels = confusion(scored)
    if labels is None:
        return
    console.print(
        "reading by reading (an alarm that outlasts its fault is false):"
        f" F1 {number(labels['f1'], '.3f')},"
        f" false-alarm rate {number(100 * labels['false_alarm_rate'], '.2f')} %,"
        f" missed-alarm rate {number(100 * labels['missed_alarm_rate'], '.2f')} %"
    )
    _events(console, scored)


def _events(console: Console, scored: Sequence[Scored]) -> None:
    events = labelled_events(scored)
    found = [event for event in events if event["detected"]]
    text = f"labelled events: {len(found)} of {len(events)} detected"
    if found:
        delay = float(np.median([event["delay_readings"] for event in found]))
        lead = float(np.median([event["lead_readings"] for event in found]))
        seconds = float(np.median([event["lead_s"] for event in found]))
        text += (
            f"; median delay {delay:g} readings, median lead {lead:g} readings"
            f" ({number(seconds)} s) before the event's end"
        )
    console.print(text)


def _assets(console: Console, scored: Sequence[Scored], policy: ScoringPolicy) -> None:
    labelled = any(one.labels is not None for one in scored)
    names = ["asset", "readings", "alarms per 1,000", "alarm events"]
    names += ["F1", "false %", "missed %"] if labelled else []
    table = new_table(
        "Back-test: all readings replayed after the training part", names, left=names[:1]
    )
    for one in scored[:_MAX_ASSETS]:
        known = int(np.isfinite(one.final_score).sum())
        alarms = int(one.is_anomaly.sum())
        cells = [
            named((one.asset_id, one.sensor_id)),
            f"{known:,}",
            number(1000 * alarms / known) if known else "-",
            str(len(alarm_events(one, policy.event_silence_s))),
        ]
        if labelled:
            labels = confusion([one]) or {}
            rates = (labels.get("false_alarm_rate"), labels.get("missed_alarm_rate"))
            cells.append(number(labels.get("f1"), ".3f"))
            cells += [number(None if rate is None else 100 * rate, ".2f") for rate in rates]
        table.add_row(*cells)
    console.print(table)
    if len(scored) > _MAX_ASSETS:
        console.print(f"... and {len(scored) - _MAX_ASSETS} more")
