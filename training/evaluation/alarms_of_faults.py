"""Divide alarms by labelled faults: within them, after them in the same event, and elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.evaluation.measures import Scored, alarm_events, normal


@dataclass(frozen=True, slots=True)
class AlarmsOfFaults:
    """Alarms of labelled data.

    Parameters
    ----------
    within : in readings labelled as faults.
    after : in normal readings, but in an event that began in a fault.
    elsewhere : the others in normal readings.
    readings : readings that are counted for the false-alarm rate.
    """

    within: int
    after: int
    elsewhere: int
    readings: int

    def __str__(self) -> str:
        """Describe the division in a sentence."""
        total = self.within + self.after + self.elsewhere
        share = f"{1000 * self.elsewhere / self.readings:.4g}" if self.readings else "-"
        return (
            f"of {total:,} alarms {self.within:,} lie within the labelled faults, {self.after:,}"
            f" follow one in the same event, {self.elsewhere:,} lie elsewhere ({share} per 1,000)"
        )


def divided(scored: Sequence[Scored], silence_s: float) -> AlarmsOfFaults | None:
    """Divide the alarms of scored data by its labelled faults; None if there are no faults.

    Streams without labels count as normal, as they do for the false-alarm rate.

    Parameters
    ----------
    scored : one per stream.
    silence_s : seconds without an alarm that end an event.
    """
    within = after = outside = readings = 0
    faults = False
    for one in scored:
        labels = np.zeros(len(one.is_anomaly), np.int8) if one.labels is None else one.labels
        faulty, calm = one.is_anomaly & (labels == 1), one.is_anomaly & (labels == 0)
        faults |= bool(np.any(labels == 1))
        within += int(faulty.sum())
        outside += int(calm.sum())
        readings += int((normal(one) & np.isfinite(one.final_score)).sum())
        for first, last in alarm_events(one, silence_s):
            begun = np.flatnonzero(faulty[first : last + 1])
            if len(begun):
                after += int(calm[first + int(begun[0]) : last + 1].sum())
    return AlarmsOfFaults(within, after, outside - after, readings) if faults else None
