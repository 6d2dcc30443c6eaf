"""Print tables for people, on standard output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from models.scoring.adaptation import ScoringPolicy
from training.evaluation.summary import Measures
from training.fitting.parallel_fit import Result


def number(value: float | None, form: str = ".4g") -> str:
    """Format a figure for a cell; a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else format(value, form)


def print_fit(
    console: Console,
    policy: ScoringPolicy,
    results: Sequence[Result],
    measured: Mapping[str, Measures],
) -> None:
    """Print one row per group: what it was fitted on and how it did on held-out readings."""
    table = Table(title="Trained", title_justify="left")
    for name in ("group", "streams", "readings", "features", "detectors", "drift", "seconds"):
        table.add_column(name, justify="right" if name in _NUMBERS else "left")
    for result in results:
        if result.model_set is None or result.report is None:
            continue
        table.add_row(
            result.name,
            str(result.report.streams),
            f"{result.report.rows:,}",
            str(len(result.model_set.feature_names)),
            ", ".join(result.model_set.names),
            result.report.drift_mode,
            f"{result.report.seconds:.1f}",
        )
    console.print(table)
    if measured:
        _print_held_out(console, measured)
        budget = policy.budgets["medium"]
        for group, found in list(measured.items())[:_MOST_VERDICTS]:
            console.print(f"{group}: {verdict(found.alarms, budget)}")


def verdict(alarms: Mapping[str, float], budget: float) -> str:
    """Compare held-out alarms with the budget in words, unless there are too few readings."""
    expected = budget * alarms["readings"]
    achieved = f"{number(1000 * alarms['rate'])} per 1,000 against a budget of {1000 * budget:g}"
    if alarms["low"] > budget:
        return (
            f"{achieved}: more than chance explains. Normal operation in the held-out part is not"
            " all in the training part (a daily cycle, a season, drift): train on more"
        )
    if expected < _FEWEST:
        return (
            f"{achieved}: too few readings to tell, the budget allows {expected:.2g} alarms in"
            f" {int(alarms['readings']):,}; {_FEWEST / budget:,.0f} normal readings would do"
        )
    if alarms["high"] < budget:
        return f"{achieved}: less than allowed"
    return f"{achieved}: as allowed"


_FEWEST = 10  # expected alarms from which on their number says something
_MOST_VERDICTS = 6
_NUMBERS = ("streams", "readings", "features", "seconds")


def _print_held_out(console: Console, measured: Mapping[str, Measures]) -> None:
    table = Table(title="On held-out readings, at criticality medium", title_justify="left")
    for name in ("group", "readings", "alarms per 1,000", "90 % interval", "faults found", "F1",
                 "missed", "ROC"):  # fmt: skip
        table.add_column(name, justify="left" if name == "group" else "right")
    for group, found in measured.items():
        alarms, labels = found.alarms, found.confusion or {}
        seen = sum(event["detected"] for event in found.events)
        table.add_row(
            group,
            f"{int(alarms['readings']):,}",
            number(1000 * alarms["rate"]),
            f"{number(1000 * alarms['low'])} .. {number(1000 * alarms['high'])}",
            f"{seen} of {len(found.events)}" if found.events else "-",
            number(labels.get("f1"), ".3f"),
            number(labels.get("missed_alarm_rate"), ".1%"),
            number((found.curves or {}).get("roc_auc"), ".3f"),
        )
    console.print(table)


def print_budgets(
    console: Console, policy: ScoringPolicy, measured: Mapping[str, Measures]
) -> None:
    """Print, beside each budget, the false events to expect of a stream in a month."""
    groups = [group for group, found in measured.items() if found.per_month]
    if not groups:
        return
    table = Table(
        title="False events to expect, per stream and month (30 days)", title_justify="left"
    )
    for name in ("asset criticality", "budget per reading", "threshold"):
        table.add_column(name, justify="left" if name == "asset criticality" else "right")
    for group in groups[:6]:
        table.add_column(group, justify="right")
    for name, budget in policy.budgets.items():
        cells = [number(measured[group].per_month[name], ".3g") for group in groups[:6]]
        table.add_row(name, f"{budget:.2g}", f"{policy.threshold(name):.2f}", *cells)
    console.print(table)
    if len(groups) > 6:
        console.print(f"... and {len(groups) - 6} more groups: see the table in MLflow")


def print_versions(console: Console, versions: Sequence[Mapping[str, Any]]) -> None:
    """Print the registry's versions, newest first."""
    table = Table(title="Bundles", title_justify="left")
    for name in ("version", "alias", "created", "groups", "trained on", "run"):
        table.add_column(name)
    for about in versions:
        tags = about["tags"]
        table.add_row(
            about["version"],
            ", ".join(about["aliases"]),
            about["created_at"][:19],
            tags.get("groups", "-"),
            tags.get("source", "-"),
            (about.get("run_id") or "-")[:8],
        )
    console.print(table)
