"""Show the progress of a replay: one line per change of an incident, and a count of the rest."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from db.queries import reporting
from db.session import transaction
from deploy.truth import Alarm

#: Maximum number of assets in the final table.
MAX_ASSETS = 20
_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "white"}


def claimed(engine: Engine, topic_id: str) -> int:
    """Count the partitions of the topic that a bridge has claimed."""
    with transaction(engine) as connection:
        return len(reporting.stored_offsets(connection, topic_id))


@dataclass
class Tally:
    """Counts of one topic so far."""

    stored: int = 0
    dead: int = 0
    anomalies: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    criticality: dict[str, str] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    read_upto: dict[int, int] = field(default_factory=dict)
    open_incidents: set[str] = field(default_factory=set)
    last_entry: int = 0
    shown: set[int] = field(default_factory=set)
    first_incident: float | None = None
    started: float = field(default_factory=time.monotonic)
    last_change: float = field(default_factory=time.monotonic)

    @property
    def accounted(self) -> int:
        """Return the number of stored readings and dead letters."""
        return self.stored + self.dead


def watch(
    engine: Engine,
    topic_id: str,
    expected: Callable[[], int | None],
    alive: Callable[[], None],
    console: Console,
    patience: float = 120.0,
) -> Tally:
    """Show what is stored of a topic until all sent readings are processed.

    Parameters
    ----------
    expected : callable
        Returns the number of readings sent, or None while sending continues.
    alive : callable
        Raises if a part of the system has ended.
    patience : float
        Seconds without any change after which `TimeoutError` is raised.
    """
    with transaction(engine) as connection:
        tally = Tally(last_entry=reporting.last_log_entry(connection))
    with Live(_status(tally, None), console=console, refresh_per_second=8) as live:
        while True:
            sent = expected()
            alive()
            for line in _look(engine, topic_id, tally):
                live.console.print(line, soft_wrap=True, highlight=False)
            live.update(_status(tally, sent))
            if sent is not None and tally.accounted >= sent:
                return tally
            if time.monotonic() - tally.last_change > patience:
                raise TimeoutError(
                    f"{tally.accounted} of {sent} readings are accounted for and nothing has"
                    f" changed for {patience:g} s"
                )
            time.sleep(0.15)


def _look(engine: Engine, topic_id: str, tally: Tally) -> list[Text]:
    """Count new rows; return one line per change of an incident."""
    with transaction(engine) as connection:
        # Read the offsets first: all rows below them are committed, so none is missed.
        for partition, upto in reporting.stored_offsets(connection, topic_id).items():
            if upto is None:
                continue
            start = tally.read_upto.get(partition, 0)
            for row in reporting.anomalies_between(connection, topic_id, partition, start, upto):
                _count(row, tally)
            tally.read_upto[partition] = upto
        # Log entries get their numbers before the commit, so a lower one may become visible later.
        changes = reporting.incident_changes(connection, tally.last_entry)
        stored, dead = reporting.count_rows(connection, topic_id)
    if (stored, dead) != (tally.stored, tally.dead):
        tally.last_change = time.monotonic()
    tally.stored, tally.dead = stored, dead
    fresh = [row for row in changes if row["id"] not in tally.shown]
    tally.shown |= {row["id"] for row in fresh}
    if fresh and tally.first_incident is None:
        tally.first_incident = time.monotonic()
    return [_line(row, tally) for row in fresh]


def _count(row: Mapping[str, Any], tally: Tally) -> None:
    metadata = row["metadata"] if isinstance(row["metadata"], dict) else {}
    asset, level = str(row["asset_id"]), str(row["criticality"])
    event = metadata.get("event") or {}
    tally.anomalies[asset, level] += 1
    tally.events.setdefault((asset, level), set()).add(str(event.get("id")))
    tally.criticality[asset] = str(row["asset_criticality"])
    tally.alarms.append(Alarm(asset, row["sensor_id"], row["timestamp"], str(event.get("id"))))


def _line(row: Mapping[str, Any], tally: Tally) -> Text:
    """Describe one change of an incident in a line."""
    incident, what = str(row["incident_id"]), str(row["what"])
    (tally.open_incidents.discard if what == "cleared" else tally.open_incidents.add)(incident)
    sensor = f"/{row['sensor_id']}" if row["sensor_id"] else ""
    level = row["severity"]
    reason = "" if what == "cleared" else _reason(row["features"])
    return Text.assemble(
        f"{row['occurred_at']:%Y-%m-%d %H:%M:%S}  {row['asset_id'] + sensor:<18} {what:<10} ",
        (f"{level:<9}", "" if what == "cleared" else _COLOURS.get(level, "")),
        f" {reason}",
    )


def _reason(features: Sequence[Mapping[str, Any]] | None) -> str:
    """Describe the main contributing feature: its value and the expected value."""
    if not features:
        return ""
    top = features[0]
    try:
        return f"{top['feature']} {top['actual']:.4g}, expected {top['expected']:.4g}"
    except (KeyError, TypeError, ValueError):
        return json.dumps(top)


def _status(tally: Tally, sent: int | None) -> Text:
    rate = tally.accounted / max(time.monotonic() - tally.started, 1e-9)
    found = sum(tally.anomalies.values())
    total = "" if sent is None else f" of {sent}"
    return Text(
        f"{tally.accounted}{total} accounted for: {found} anomalies,"
        f" {tally.stored - found} normal, {tally.dead} dead letters;"
        f" {len(tally.open_incidents)} incidents open; {rate:.0f}/s",
        style="cyan",
    )


def summary(engine: Engine, topic_id: str, tally: Tally, sent: int, seconds: float) -> Table:
    """Return the final table: one line per asset, and the totals.

    Parameters
    ----------
    tally
        The counts.
    sent
        Number of readings sent.
    seconds
        From the first sent to the last stored reading.
    """
    table = Table(title="what happened: anomalies and events by criticality", title_justify="left")
    table.add_column("asset")
    table.add_column("matters")
    for level, colour in _COLOURS.items():
        table.add_column(level, justify="right", style=colour)
    table.add_column("events")
    assets = sorted({asset for asset, _ in tally.anomalies})
    for asset in assets[:MAX_ASSETS]:
        table.add_row(asset, tally.criticality.get(asset, ""), *_row(tally, {asset}))
    if rest := set(assets[MAX_ASSETS:]):
        table.add_row(f"{len(rest)} more", "", *_row(tally, rest))
    table.add_section()
    table.add_row("all", "", *_row(tally, set(assets)), style="bold")
    with transaction(engine) as connection:
        reasons = reporting.dead_letter_reasons(connection, topic_id)
    caption = f"{sent} sent = {tally.stored} stored + {tally.dead} dead letters"
    if reasons:
        caption += " (" + ", ".join(f"{n} {reason}" for reason, n in reasons.items()) + ")"
    caption += f"; {sent / max(seconds, 1e-9):.0f} readings/s from first sent to last stored"
    table.caption = caption
    return table


def _row(tally: Tally, assets: set[str]) -> list[str]:
    """Return the anomalies by criticality and the events of these assets."""
    counts = [sum(tally.anomalies[asset, level] for asset in assets) for level in _COLOURS]
    seen, words = set[str](), []
    for level in _COLOURS:
        events = set[str]().union(*(tally.events.get((asset, level), set()) for asset in assets))
        if fresh := len(events - seen):
            words.append(f"{fresh} {level}")
        seen |= events
    return [*(str(n) if n else "" for n in counts), ", ".join(words)]
