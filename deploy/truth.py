"""Compare detected events with the labelled faults of a replayed file (its ``label`` column)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from rich.table import Table

from datasets import Reading


@dataclass(frozen=True, slots=True)
class Fault:
    """Consecutive readings of one stream with label 1; times as in the file."""

    asset_id: str
    sensor_id: str | None
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Alarm:
    """One stored anomaly with its event."""

    asset_id: str
    sensor_id: str | None
    timestamp: datetime
    event: str


def faults_of(readings: Iterable[Reading]) -> list[Fault]:
    """Return the labelled faults among these readings, in order of their start."""
    rows = sorted(readings, key=lambda r: (r.asset_id, r.sensor_id or "", r.timestamp))
    runs = groupby(rows, key=lambda r: (r.asset_id, r.sensor_id, r.label == 1))
    found = []
    for (asset, sensor, faulty), run in runs:
        times = [reading.timestamp for reading in run]
        if faulty:
            found.append(Fault(asset, sensor, times[0], times[-1]))
    return sorted(found, key=lambda f: f.begin)


def compare(faults: list[Fault], alarms: list[Alarm], shift: timedelta) -> Table:
    """List each fault with the delay of its first alarm; the caption counts alarms outside.

    Parameters
    ----------
    shift : timedelta
        The shift that the replay added to the file's times.
    """
    table = Table(title="faults that the file is labelled with", title_justify="left")
    for column in ("asset", "fault from", "to", "first alarm"):
        table.add_column(column)
    true_events, seen, within = set[str](), 0, 0
    for fault in faults:
        begin, end = fault.begin + shift, fault.end + shift
        inside = [
            alarm
            for alarm in alarms
            if (alarm.asset_id, alarm.sensor_id) == (fault.asset_id, fault.sensor_id)
            and begin <= alarm.timestamp <= end
        ]
        true_events |= {alarm.event for alarm in inside}
        seen += bool(inside)
        within += len(inside)
        after = min((alarm.timestamp for alarm in inside), default=begin) - begin
        table.add_row(
            fault.asset_id,
            f"{begin:%m-%d %H:%M:%S}",
            f"{end:%m-%d %H:%M:%S}",
            f"{after} after" if inside else "none",
        )
    events = {alarm.event for alarm in alarms}
    around = sum(alarm.event in true_events for alarm in alarms) - within
    table.caption = (
        f"{seen} of {len(faults)} seen;"
        f" {len(events - true_events)} of {len(events)} events lie outside of them all\n"
        f"of {len(alarms)} anomalies {within} lie within the faults, {around} just around them (in"
        f" the same event), {len(alarms) - within - around} elsewhere"
    )
    return table
