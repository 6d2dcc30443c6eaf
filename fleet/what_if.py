"""Compute the alarm figures at one budget, and show them as table and plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from models.scoring.policy import ScoringPolicy
from training.cli.printed_table import new_table
from training.evaluation import plots
from training.reports.fit_report import number

#: ISA-18.2 and EEMUA 191: alarms per operator and day, "very likely to be acceptable" and "maximum
#: manageable"; more than FLOOD in ten minutes is a flood, which should take under 1 % of the time.
ACCEPTABLE: Final = 150
MANAGEABLE: Final = 300
FLOOD: Final = 10
_TEN_MINUTES = np.timedelta64(600, "s")
_MONTH_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A confirmed fault: asset, start and end."""

    asset_id: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Exposure:
    """The amount of scored data: a day of an asset counts if it has a reading.

    There may be days without any between the first and the last.
    """

    version: str
    asset_days: int
    days: int
    first: Any
    last: Any
    assets: Mapping[str, int]  # by criticality


def what_if(
    table: pa.Table, factor: float, exposure: Exposure, policy: ScoringPolicy, operators: int,
    faults: Sequence[Fault],
) -> dict[str, Any]:  # fmt: skip
    """Return the figures at one budget."""
    rows = table.filter(pc.equal(table["factor"], factor)).to_pylist()
    opened = np.sort(
        np.array([r["opened_at"].replace(tzinfo=None) for r in rows], "datetime64[us]")
    )
    months = exposure.asset_days / _MONTH_DAYS
    operator_days = exposure.days * operators
    per_day = np.unique(opened.astype("datetime64[D]"), return_counts=True)[1]
    slots = np.unique((opened - np.datetime64(0, "us")) // _TEN_MINUTES, return_counts=True)[1]
    of = sum(exposure.assets.values()) or 1
    budget = sum(n * policy.incident_budgets[c] for c, n in exposure.assets.items()) / of
    leads, used = [], set()
    for fault in faults:
        during = [
            i for i, r in enumerate(rows)
            if r["asset_id"] == fault.asset_id and r["opened_at"] <= fault.end
            and r["last_at"] >= fault.start
        ]  # fmt: skip
        used.update(during)
        if during:
            first = min(rows[i]["opened_at"] for i in during)
            leads.append((fault.end - first).total_seconds())
    return {
        "factor": factor,
        "budget_per_asset_month": budget * factor,
        "incidents": len(rows),
        "incidents_per_asset_month": len(rows) / months,
        "false_per_asset_month": (len(rows) - len(used)) / months if faults else None,
        "alarms_per_operator_day": len(rows) / operator_days,
        "worst_day": int(per_day.max(initial=0)) / operators,
        "worst_10_min": int(slots.max(initial=0)) / operators,
        "flood_percent": 100 * int((slots > FLOOD * operators).sum()) / (exposure.days * 144),
        "faults": len(faults),
        "faults_found": len(leads) if faults else None,
        "median_lead_h": float(np.median(leads)) / 3600 if leads else None,
    }


def show(
    out: Console, rows: Sequence[Mapping[str, Any]], exposure: Exposure, operators: int
) -> None:
    """Print one row per budget, and compare the present budget with ISA-18.2."""
    names = {
        "budget": "budget_per_asset_month",
        "incidents per asset-month": "incidents_per_asset_month",
        "false": "false_per_asset_month", "alarms per operator-day": "alarms_per_operator_day",
        "worst day": "worst_day", "worst 10 min": "worst_10_min", "in flood %": "flood_percent",
        "faults found": "faults_found", "median lead, h": "median_lead_h",
    }  # fmt: skip
    title = (
        f"{exposure.asset_days / _MONTH_DAYS:.3g} asset-months, {exposure.days} days,"
        f" {operators} operators"
    )
    table = new_table(title, list(names))
    for row in rows:
        table.add_row(*(number(row[name], ".3g") for name in names.values()))
    out.print(table)
    (own,) = (row for row in rows if row["factor"] == 1.0)
    daily = own["alarms_per_operator_day"]
    verdict = "acceptable" if daily <= ACCEPTABLE else "manageable, not comfortable"
    if daily > MANAGEABLE or own["flood_percent"] > 1:
        verdict = "more than is manageable"
    out.print(f"ISA-18.2, per operator: {ACCEPTABLE} alarms a day are very likely acceptable,"
              f" {MANAGEABLE} the most that is manageable; more than {FLOOD} in 10 minutes are a"
              f" flood, below 1 % of the time. As set: {verdict}")  # fmt: skip


def draw(
    rows: Sequence[Mapping[str, Any]],
    table: pa.Table,
    exposure: Exposure,
    operators: int,
    path: Path,
) -> None:
    """Plot incidents by budget, and daily alarms per operator against ISA-18.2."""
    figure = plots.new_figure(11, 4)
    left, right = figure.subplots(1, 2)
    asked = [row["budget_per_asset_month"] for row in rows]
    left.plot(asked, [row["incidents_per_asset_month"] for row in rows], "o-", label="incidents")
    if rows[0]["faults"]:
        left.plot(asked, [row["false_per_asset_month"] for row in rows], "o-", label="false")
    left.plot(asked, asked, ":", color="grey", label="budget")
    left.set(xscale="log", xlabel="budget per asset-month", title="Incidents per asset-month")
    left.legend()
    own = table.filter(pc.equal(table["factor"], 1.0))
    days = np.array([at.date() for at in own["opened_at"].to_pylist()], "datetime64[D]")
    span = np.arange(np.datetime64(exposure.first), np.datetime64(exposure.last) + 1)
    right.plot(span, [float((days == day).sum()) / operators for day in span], drawstyle="steps")
    for level, name in ((ACCEPTABLE, "acceptable"), (MANAGEABLE, "manageable")):
        right.axhline(level, color="grey", linestyle=":")
        right.annotate(name, (span[0], level), fontsize=8, color="grey")
    right.set(title="Alarms per operator and day, budget as set", ylim=(0, None))
    figure.autofmt_xdate()
    plots.save(figure, path)
