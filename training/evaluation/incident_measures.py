"""Measure incidents in scored data: how many are false, and how much the on-delay delays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.scoring.alarms.bursts import MONTH_S
from training.evaluation.measures import Scored, labelled, normal, runs


def incidents_line(scored: Sequence[Scored], budget: float) -> str:
    """Describe false incidents per asset and month, and the on-delay, in one sentence.

    With labels, only incidents in normal operation are false, and the delay is the median over the
    labelled faults of the readings from first alarm to incident.

    Parameters
    ----------
    scored : one per stream.
    budget : false incidents per asset and month.
    """
    false, seconds = 0, 0.0
    for one in scored:
        calm = normal(one)
        false += int(sum(calm[at] for at in one.incidents))
        if len(one.timestamps) > 1:
            steps = np.diff(one.timestamps) / np.timedelta64(1, "s")
            seconds += float(np.median(steps)) * float(calm.sum())
    if not seconds:
        return "incidents: without times their number per month is unknown"
    streams = len(scored) / max(len({one.asset_id for one in scored}), 1)
    months = seconds / MONTH_S / streams
    text = (
        f"incidents: {false} false in {months:.3g} asset-months, {false / months:.3g} per asset and"
        f" month; {budget:g} are expected (the budget)"
    )
    if months * budget < _MIN_EXPECTED:
        text += f", {_MIN_EXPECTED / budget:.3g} asset-months would show it"
    costs = _costs(scored)
    if costs is not None:
        opened = [cost for cost in costs if cost is not None]
        text += f"; {len(opened)} of {len(costs)} alarmed faults became incidents"
        if opened:
            text += f", {np.median(opened):g} readings after their first alarm in the median"
    return text


_MIN_EXPECTED = 3.0  # fewest expected incidents for their number to be informative


def _costs(scored: Sequence[Scored]) -> list[int | None] | None:
    """Count the readings from first alarm to incident for each alarmed fault; None: no incident.

    The result is None without labels.
    """
    found: list[int | None] = []
    for one, labels in labelled(scored):
        for start, end in runs(labels == 1):
            alarms = np.flatnonzero(one.is_anomaly[start:end])
            if len(alarms):
                first = start + int(alarms[0])
                found.append(next((at - first for at in one.incidents if first <= at < end), None))
    return found if labelled(scored) else None
